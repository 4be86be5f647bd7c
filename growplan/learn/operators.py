"""A learned step as a whole: its data, its leaves at first, the fit, and the record of it."""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

import growplan
from growplan.backend.dtypes import raw_bytes, torch_dtype
from growplan.backend.evaluate import Read
from growplan.check.learned import as_read
from growplan.check.typed import TypedStep
from growplan.checkpoint.files import file_sha256, write_bytes
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.preprocessor import PREPROCESSOR
from growplan.diagnostics import Diagnostic
from growplan.ir.graph import Graph
from growplan.ir.primitives import Leaf
from growplan.learn.blocks import Blocks
from growplan.learn.fit import Objective, State, fit, products_of
from growplan.learn.general import begun
from growplan.learn.init import initial
from growplan.learn.materialise import Materialiser
from growplan.learn.model import Target
from growplan.learn.ranks import ALONE, Ranks
from growplan.learn.reading import read_corpus
from growplan.learn.resume import Kept, due
from growplan.learn.spread import Copies
from growplan.learn.tokenizer import TOKENIZER
from growplan.methods.operator import Recipe

OPERATOR = "operator.safetensors"
OFTEN = 20  # times that the data is read, past which it is little
FEW = 4  # windows, images or sequences held out: fewer say little
POINTS = 100  # of the curve of training losses that is recorded


@dataclass(frozen=True)
class Fitted:
    """What a step fitted. Losses are means over held-out data, in nats; the same batches before and after.

    `curve`: (steps done, training loss) at some steps. `leaves` maps each leaf to the sha256 of its
    bytes, `counts` says how much data there is.
    """

    step: str
    data: str  # as the plan writes it
    data_sha256: str
    counts: Mapping[str, int]
    recipe: Recipe
    parameters: int
    before: float
    after: float
    curve: tuple[tuple[int, float], ...]
    leaves: Mapping[str, str]

    @property
    def little(self) -> Diagnostic | None:
        """GP560 where the data was read many times over, or the loss measured on little that is new."""
        unit = next(iter(self.counts))
        length = self.recipe.tokens if unit == "tokens" else 1
        held = self.counts["held_out"]
        drawn = self.counts[unit] - held
        times = self.recipe.steps * self.recipe.batch * length / drawn
        notes = []
        if times > OFTEN:
            notes.append(("read", f"{drawn:,} {unit}, each about {times:.0f} times"))
        if held < FEW * length:
            notes.append(("held out", f"{held:,} {unit}, over which the loss is a mean"))
        repeated = self.counts.get("repeated", 0)
        if repeated > held / 10:
            notes.append(("repeated", f"{repeated:,} of the {held:,} {unit} held out are drawn too"))
        if not notes:
            return None
        message = f"`{self.step}` is fitted on little data"
        ways = ("give more data", "or fit for fewer steps")
        return Diagnostic("GP560", message, notes=tuple(notes), help=ways, severity="warning")

    @property
    def worse(self) -> Diagnostic | None:
        """GP536 where the loss rose."""
        if self.after <= self.before:
            return None
        losses = f"{self.before:.4g} → {self.after:.4g}"
        message = f"the fit of `{self.step}` made the held-out loss larger: {losses}"
        ways = ("lower `lr`, or lengthen `warmup`", "or give more data")
        return Diagnostic("GP536", message, help=ways, severity="warning")


@dataclass(frozen=True)
class Work:
    """Where fits keep their state, and whether to go on from what is there.

    `run`: what the numbers of every fit of this run depend on, by name.
    """

    folder: Path
    resume: bool
    run: Mapping[str, str]

    def of(self, step: TypedStep, data_sha256: str, every: int) -> Kept:
        """The state of one step, stored every so many steps."""
        belongs = {**self.run, "data": data_sha256, "step": step.id}
        return Kept(self.folder / f"{step.index}.safetensors", belongs, every)

    def remove(self) -> None:
        """Take every state away; a folder that stays for some reason does no harm."""
        shutil.rmtree(self.folder, ignore_errors=True)


Show = Callable[[TypedStep, int, float], None]
"""`show(step, fitting steps done, loss)`"""


def run_facts(
    plan_hash: str, source: Path, family: Path, device: torch.device | str, ranks: Ranks = ALONE
) -> dict[str, str]:
    """What the numbers of a fit depend on, beside its data. GP550 where ranks differ in it.

    `family` is the file that describes the source.
    """
    beside = [name for name in (*TOKENIZER, PREPROCESSOR) if (source / name).is_file()]
    files = ("config.json", *read_headers(source).files, *beside)
    hashes = " ".join(file_sha256(source / name) for name in files)
    shared = {
        "plan": plan_hash,
        "source": hashlib.sha256(hashes.encode()).hexdigest(),
        "family": file_sha256(family),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "growplan": growplan.__version__,
    }
    ranks.same(shared)
    return {
        **shared,
        "device": f"{device} of {platform.node()}",
        "processes": f"{ranks.world} with a piece each" if ranks.shard else str(ranks.world),
    }


def fit_step(
    graph: Graph,
    step: TypedStep,
    read: Read,
    source: Path,
    file: Path,
    device: torch.device | str = "cpu",
    work: Work | None = None,
    show: Show | None = None,
    ranks: Ranks = ALONE,
) -> tuple[dict[str, Tensor], Fitted]:
    """The leaves of a learned step, as they are stored, and the record of the fit.

    `read` gives source tensors and the leaves of earlier steps, `file` is the data, `source` the
    directory of the tokenizer. All ranks come here, and have the same leaves in the end; `work` is
    the first one's. Raises GP521 to GP523, GP531 to GP535 and GP550.
    """
    operator, tell = step.operator, show or (lambda step, done, loss: None)
    assert operator is not None
    recipe = as_read(operator.recipe, step.after)
    with ranks.together():
        corpus = read_corpus(file, source, step.after, recipe, step.key)
    ranks.same({"data": corpus.sha256})
    with ranks.together():
        objective = objective_of(graph, step, read, device, ranks)
    kept = None if work is None else work.of(step, corpus.sha256, recipe.every)

    def begin() -> State:
        found = kept.load() if kept is not None and work is not None and work.resume else None
        return found or State.begin(first_leaves(graph, step, read, objective.materialise.dtype))

    def gathered(part: Tensor) -> Tensor:
        values = objective.spread.whole(part)  # every rank takes part
        return values if kept is not None else values.new_empty(0)

    def keep(state: State) -> None:
        if due(state.done, recipe.steps, recipe.every):
            all_of_it = state.map(gathered)
            with ranks.together():
                if kept is not None:
                    kept.store(all_of_it, recipe.steps)

    state = ranks.by_first(begin)
    before, after = fit(objective, corpus, recipe, state, keep, lambda done, loss: tell(step, done, loss))
    fitted = {name: objective.spread.whole(leaf) for name, leaf in state.leaves.items()}
    leaves = _as_stored(graph, step, fitted)
    hashes = {name: hashlib.sha256(raw_bytes(values)).hexdigest() for name, values in sorted(leaves.items())}
    count = sum(leaf.numel() for leaf in leaves.values())
    record = Fitted(
        step=step.id,
        data=step.data,
        data_sha256=corpus.sha256,
        counts=corpus.facts(),
        recipe=recipe,
        parameters=count,
        before=before,
        after=after,
        curve=_curve(state.losses),
        leaves=hashes,
    )
    return leaves, record


def objective_of(
    graph: Graph, step: TypedStep, read: Read, device: torch.device | str, ranks: Ranks
) -> Objective:
    """The loss of a step's target, spread over the ranks as the run is."""
    assert step.operator is not None
    target, recipe = Target(step.after, device), step.operator.recipe
    if ranks.shard:
        from growplan.learn.shards import Pieces, Shards, mesh_of

        mesh = mesh_of(ranks, device)
        materialise = Materialiser(graph, step.index, read, device, constants=Pieces(mesh))
        blocks = Blocks(target)
        made = Objective(materialise, target, blocks, Shards(ranks, mesh, materialise, blocks))
    else:
        by_block = Blocks(target) if recipe.checkpoint == "blocks" else None
        made = Objective(Materialiser(graph, step.index, read, device), target, by_block, Copies(ranks))
    products = products_of(recipe, made.materialise.device, made.materialise.dtype)
    return replace(made, dropout=step.key if recipe.dropout else None, products=products)


def write_operator(directory: Path, leaves: Mapping[str, Tensor]) -> str:
    """Write fitted leaves beside the checkpoint that they made; the name of the file."""
    from safetensors.torch import save

    write_bytes(directory / OPERATOR, save(dict(sorted(leaves.items())), {"format": "pt"}))
    return OPERATOR


def first_leaves(graph: Graph, step: TypedStep, read: Read, dtype: torch.dtype) -> dict[str, Tensor]:
    """The values that the leaves of a step begin with: name -> values, on the CPU."""
    assert step.operator is not None
    if step.start:
        return begun(graph, step, read, dtype)
    return {spec.name: initial(spec, step.operator.noise).to(dtype) for spec in step.leaves}


def _as_stored(graph: Graph, step: TypedStep, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, in the dtype that the graph reads each in."""
    nodes = (node.op for node in graph.nodes.values() if node.step == step.index)
    types = {op.leaf: op.dtype for op in nodes if isinstance(op, Leaf)}
    return {
        name: leaf.detach().to("cpu", torch_dtype(types[name])).contiguous() for name, leaf in leaves.items()
    }


def _curve(losses: list[float]) -> tuple[tuple[int, float], ...]:
    every = max(1, len(losses) // POINTS)
    return tuple((i + 1, loss) for i, loss in enumerate(losses) if i % every == 0 or i == len(losses) - 1)
