"""Fitting the leaves of one learned step: AdamW on the target's own loss, the source frozen.

In every step the target's tensors are made once from the leaves; the batch goes through the model in
parts, whose gradients add up at the tensors; one backward pass takes them on to the leaves. Or block by
block (`growplan.learn.blocks`), where each part makes the tensors anew. Of several ranks each reads its
rows of the batch, and has all leaves or a piece of each (`spread`, `shards`). Dropout is off, unless the
recipe says otherwise; what it draws then is a function of the step, the part and the rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NoReturn

import torch
from torch import Tensor

from growplan.backend.philox import key_of
from growplan.diagnostics import fail
from growplan.learn.blocks import Blocks
from growplan.learn.corpus import Batch, Corpus
from growplan.learn.loss import summed
from growplan.learn.materialise import Materialiser
from growplan.learn.model import Named, Target
from growplan.learn.spread import Copies, Spread
from growplan.methods.operator import Recipe

Leaves = dict[str, Tensor]
Logits = Callable[[Tensor, "Tensor | None"], Tensor]
AVERAGED = 10  # training losses whose mean is shown


@dataclass(frozen=True)
class Objective:
    """The loss of the target as a function of the leaves, over the rows of all ranks.

    `blocks`: computed block by block. `dropout`: the key of what it draws in training steps, None where
    it is off. `products`: the dtype that autocast computes the model's products in.
    """

    materialise: Materialiser
    target: Target
    blocks: Blocks | None = None
    spread: Spread = field(default_factory=Copies)
    dropout: str | None = None
    products: torch.dtype | None = None

    def measure(self, leaves: Mapping[str, Tensor], batches: Sequence[Batch]) -> float:
        """The mean loss over everything that some batches ask, without gradients and without dropout."""
        self.target.train(False)
        with self.spread.apart(), torch.no_grad():
            made = {} if self.blocks is not None else self.materialise(leaves)
            model = self._model(leaves, made)
            shares = (self.spread.share(batch) for batch in batches)
            total = sum(float(self._summed(model, share)) for share in shares if len(share.inputs))
        return self.spread.ranks.total(total) / sum(batch.asked() for batch in batches)

    def backward(self, leaves: Mapping[str, Tensor], batch: Batch, parts: int = 1, step: int = 0) -> float:
        """The mean loss of a batch; its gradient is added to that of the leaves. `step` seeds dropout."""
        self.target.train(self.dropout is not None)
        with self.spread.apart():
            total = self._backward(leaves, self.spread.share(batch), parts, batch.asked(), step)
        self.spread.add_up(leaves.values())
        return self.spread.ranks.total(total)

    def _backward(
        self, leaves: Mapping[str, Tensor], share: Batch, parts: int, asked: int, step: int = 0
    ) -> float:
        """What this rank's rows add to the mean loss over `asked` targets, and to the gradient."""
        made = {} if self.blocks is not None else self.materialise(leaves)
        cut = {name: tensor.detach().requires_grad_(tensor.requires_grad) for name, tensor in made.items()}
        model, total = self._model(leaves, cut), 0.0
        for number, part in enumerate(share.parts(parts)):
            rank = self.spread.ranks.rank
            with drawing(self.dropout, f"{step}/{number}/{rank}", self.materialise.device):
                loss = self._summed(model, part) / asked
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        reached = [name for name, tensor in cut.items() if tensor.grad is not None]
        if reached:
            torch.autograd.backward([made[name] for name in reached], [cut[name].grad for name in reached])
        return total

    def _model(self, leaves: Mapping[str, Tensor], made: Named) -> Logits:
        """(inputs, mask) -> logits: of the tensors made, or of those that each block makes for itself."""
        if self.blocks is not None:
            return partial(self.blocks, partial(self.materialise, self.spread.view(leaves)))
        return partial(self.target, made)

    def _summed(self, model: Logits, batch: Batch) -> Tensor:
        """The loss summed over what the rows of a rank ask."""
        return self.spread.run(partial(self._loss, model, batch))

    def _loss(self, model: Logits, batch: Batch) -> Tensor:
        device, inputs = self.materialise.device, batch.inputs
        if inputs.is_floating_point():
            inputs = inputs.to(self.materialise.dtype)
        with precision(self.products, device):
            mask = None if batch.mask is None else batch.mask.to(device)
            logits = model(inputs.to(device), mask)
        return summed(logits, batch.targets.to(device))


@contextmanager
def drawing(key: str | None, what: str, device: torch.device) -> Iterator[None]:
    """Dropout's draws by `key` and a name, none for no key; torch's generators are left as they were."""
    if key is None:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        low, high = key_of(f"{key}/dropout/{what}")
        torch.manual_seed(high << 32 | low)
        yield


def precision(products: torch.dtype | None, device: torch.device) -> AbstractContextManager[object]:
    """Products in that dtype; as they are for None."""
    return nullcontext() if products is None else torch.autocast(device.type, products)


def products_of(recipe: Recipe, device: torch.device, dtype: torch.dtype) -> torch.dtype | None:
    """What autocast computes products in: bfloat16, where the recipe or CUDA wants it, for float32."""
    wanted = recipe.precision == "bfloat16" or (recipe.precision == "auto" and device.type == "cuda")
    return torch.bfloat16 if wanted and dtype == torch.float32 else None


@dataclass
class State:
    """Where a fit stands: the leaves, AdamW's moments, the steps done, and the losses so far.

    `before` is the loss on the held-out batches at step 0.
    """

    leaves: Leaves
    first: Leaves
    second: Leaves
    done: int = 0
    before: float = math.nan
    losses: list[float] = field(default_factory=list)  # of training batches, one a step

    @classmethod
    def begin(cls, leaves: Mapping[str, Tensor]) -> State:
        """A fit at step 0; its moments take no memory yet."""
        zeros = {name: leaf.new_zeros(()).expand(leaf.shape) for name, leaf in leaves.items()}
        return cls(dict(leaves), dict(zeros), dict(zeros))

    def map(self, change: Callable[[Tensor], Tensor]) -> State:
        """The same state with other tensors."""

        def changed(tensors: Leaves) -> Leaves:
            return {name: change(tensor) for name, tensor in tensors.items()}

        first, second = changed(self.first), changed(self.second)
        return replace(self, leaves=changed(self.leaves), first=first, second=second)


Keep = Callable[[State], None]
Show = Callable[[int, float], None]
"""`show(steps done, training loss)`"""


def fit(
    objective: Objective, corpus: Corpus, recipe: Recipe, state: State, keep: Keep, show: Show
) -> tuple[float, float]:
    """Run the steps that `state` has not done; (held-out loss at step 0, at the end).

    `keep` is called on every rank after every step, and may store the state (of which a rank may have its
    part); what happens afterwards depends on the state alone. Raises GP534 where a loss or a gradient is
    not finite.
    """
    held = corpus.held_out()
    device, dtype = objective.materialise.device, objective.materialise.dtype
    leaves = objective.spread.leaves(state.leaves, device, dtype)
    optimizer = _optimizer(recipe, leaves, state, objective.spread)
    _take(state, leaves, optimizer)
    if not state.done:
        state.before = objective.measure(leaves, held)
        if not math.isfinite(state.before):
            _not_finite("before the first step", state.before, AT_START)
        show(0, state.before)
    while state.done < recipe.steps:
        loss = _one_step(objective, corpus, recipe, leaves, optimizer, state.done)
        state.losses.append(loss)
        state.done += 1
        _take(state, leaves, optimizer)
        keep(state)
        show(state.done, shown(state.losses))
    after = objective.measure(leaves, held)
    if not math.isfinite(after):
        _not_finite("after the last step", after, ON_THE_WAY)
    return state.before, after


def shown(losses: Sequence[float]) -> float:
    """The mean of the last training losses."""
    last = losses[-AVERAGED:]
    return sum(last) / len(last) if last else math.nan


def rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step, counted from 0: up over the warm-up, then down by the schedule."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    part = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    match recipe.schedule:
        case "cosine":
            return recipe.lr * (1 + math.cos(math.pi * part)) / 2
        case "linear":
            return recipe.lr * (1 - part)
        case _:
            return recipe.lr


def _one_step(
    objective: Objective,
    corpus: Corpus,
    recipe: Recipe,
    leaves: Leaves,
    optimizer: torch.optim.AdamW,
    step: int,
) -> float:
    optimizer.param_groups[0]["lr"] = rate(recipe, step)
    optimizer.zero_grad()
    loss = objective.backward(leaves, corpus.batch(step), recipe.accumulate, step)
    limit = recipe.clip if recipe.clip > 0 else math.inf
    norm = float(objective.spread.whole(torch.nn.utils.clip_grad_norm_(list(leaves.values()), limit)))
    if not math.isfinite(loss) or not math.isfinite(norm):
        where = f"in step {step + 1} of {recipe.steps}"
        _not_finite(where, loss, ON_THE_WAY if math.isfinite(loss) else (*ON_THE_WAY, *AT_START[:1]))
    optimizer.step()
    return loss


AT_START = (
    "look at the source: a forward pass by transformers must give a finite loss",
    "or begin from another operator: another `depth-init`, `width-init` or `init`",
)
ON_THE_WAY = ("lower `lr`, or lengthen `warmup`", "or clip gradients lower: `clip 0.5`")


def _not_finite(where: str, loss: float, ways: Sequence[str]) -> NoReturn:
    what = "the gradient is not finite" if math.isfinite(loss) else f"the loss is {loss}"
    fail("GP534", f"{what} {where}", help=ways)


# AdamW ---------------------------------------------------------------------------------------------


def _optimizer(recipe: Recipe, leaves: Leaves, state: State, spread: Spread) -> torch.optim.AdamW:
    """AdamW as it stood when the state was taken."""
    optimizer = torch.optim.AdamW(
        list(leaves.values()),
        lr=recipe.lr,
        betas=recipe.betas,
        eps=recipe.eps,
        weight_decay=recipe.weight_decay,
        foreach=False,
    )
    if state.done:
        for name, leaf in leaves.items():
            optimizer.state[leaf] = {
                "step": torch.tensor(float(state.done)),
                "exp_avg": spread.like(leaf, state.first[name]),
                "exp_avg_sq": spread.like(leaf, state.second[name]),
            }
    return optimizer


def _take(state: State, leaves: Leaves, optimizer: torch.optim.AdamW) -> None:
    """The state as it stands now; the tensors are the optimiser's own, and change with the next step."""
    for name, leaf in leaves.items():
        moments = optimizer.state.get(leaf)
        state.leaves[name] = leaf.detach()
        if moments:
            state.first[name], state.second[name] = moments["exp_avg"], moments["exp_avg_sq"]
