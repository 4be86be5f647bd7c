"""First-step gradients through stock transformers: which units learn, which never do, and the lints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from growplan.check.typed import TypedPlan
from tests.matrix.run import grow, inputs_for
from tests.tiny import tiny_checkpoint

ZERO = 1e-14  # of the largest gradient: what float64 leaves of a sum that cancels
CLASSES = {"gpt2": "GPT2LMHeadModel", "bert": "BertForMaskedLM", "llama": "LlamaForCausalLM"}
CONFIGS = {"gpt2": {"n_inner": 80}, "bert": {}, "llama": {"head_dim": 12}}  # llama: 6 heads of 12 on 48


class Grown:
    """A grown tiny model: its typed plan, and the gradient of every stored parameter."""

    def __init__(self, typed: TypedPlan, gradients: dict[str, Tensor]) -> None:
        self.typed = typed
        self.gradients = gradients
        self.scale = max(float(g.abs().max()) for g in gradients.values())

    @property
    def lints(self) -> set[str]:
        return {d.code for d in self.typed.lints}

    def along(self, size: int) -> Iterator[tuple[str, Tensor]]:
        """Every gradient with a dimension of `size`, that one first."""
        for name, gradient in self.gradients.items():
            for dim, units in enumerate(gradient.shape):
                if units == size:
                    yield f"{name} dim {dim}", gradient.movedim(dim, 0)

    def of_new(self, old: int, new: int) -> dict[str, float]:
        """The largest gradient of units old:new, relative, by parameter."""
        return {name: float(g[old:].abs().max()) / self.scale for name, g in self.along(new)}


Step = Callable[[str, str], Grown]


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Step:
    """The gradients of a cross entropy after growing a tiny model of a family by a line."""

    @cache
    def source(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family) / "source"
        return tiny_checkpoint(
            family, folder, architecture=CLASSES[family], dtype="float64", **CONFIGS[family]
        )

    @cache
    def run(family: str, steps: str) -> Grown:
        import transformers

        grown = grow(source(family), steps, tmp_path_factory.mktemp("grown") / "target")
        loaded = getattr(transformers, CLASSES[family])
        model = loaded.from_pretrained(grown.target, dtype=torch.float64, attn_implementation="eager").eval()
        ids = inputs_for(grown.typed.source)
        logits = model(ids).logits.flatten(0, 1)
        labels = torch.randint(0, 31, (len(logits),), generator=torch.Generator().manual_seed(1))
        torch.nn.functional.cross_entropy(logits, labels).backward()
        found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        return Grown(grown.typed, found)

    return run


# copies -------------------------------------------------------------------------------------------

TWINS = [
    *(
        (family, f"widen ffn 80→160 via {how}", 80)
        for family in CLASSES
        for how in ("fpi, split even", "fpi")
    ),
    *(
        (family, f"widen hidden 48→96 via {how}; widen heads x2 via {how}", 48)
        for family in ("gpt2", "bert")
        for how in ("fpi, split even", "fpi")
    ),
    ("gpt2", "widen ffn 80→160 via bert2bert, map circular", 80),
    ("gpt2", "widen ffn 80→160 via bert2bert, map circular, split uneven", 80),
    ("llama", "widen hidden 48→96 via bert2bert, map circular", 48),
    ("bert", "widen ffn 80→160 via bert2bert, map circular, noise 20", 80),
    *(("gpt2", f"widen ffn 80→160 via lemon, split {split}", 80) for split in ("projection", "comp", "even")),
    *(
        (family, f"grow hidden 48→96, heads 6→12, ffn 80→160 via lemon, split {split}", old)
        for family in ("gpt2", "bert")
        for split in ("projection", "even")
        for old in (48, 80)
    ),
    *(("llama", f"grow hidden 48→96, ffn 80→160 via hypercloning{n}", 48) for n in ("", ", snr_db 20")),
    *(("gpt2", "grow hidden 48→96, heads 6→12, ffn 80→160 via staged", old) for old in (48, 80)),
]


@pytest.mark.parametrize(("family", "steps", "old"), TWINS)
def test_copies_with_even_shares_get_one_gradient_and_the_lint_says_so(
    step: Step, family: str, steps: str, old: int
) -> None:
    grown = step(family, steps)
    pairs = [(g[:old], g[old:]) for _, g in grown.along(2 * old)]
    apart = max(float((a - b).abs().max()) / grown.scale for a, b in pairs)
    assert pairs
    assert (apart < ZERO) == ("GP901" in grown.lints)
    assert apart < ZERO or apart > 1e-3, "either the same, or visibly not"


# units that never learn ---------------------------------------------------------------------------

UNITS = [
    ("gpt2", "mask-in ffn 80→97", 80, 97),
    ("bert", "mask-in ffn 80→97", 80, 97),
    ("llama", "mask-in ffn 80→97", 80, 97),
    ("llama", "widen hidden 48→60 via fpi", 48, 60),  # zero rows, which RMSNorm cannot see
    ("gpt2", "widen hidden 48→72 via fpi", 48, 72),  # mean rows: a norm's statistics see them
    ("llama", "widen hidden 48→60 via lemon", 48, 60),
    ("gpt2", "widen hidden 48→72 via lemon; widen heads 6→9 via lemon", 48, 72),
]


@pytest.mark.parametrize("init", ["like", "normal(0)"])
@pytest.mark.parametrize(("family", "steps", "old", "new"), UNITS)
def test_new_units_learn_or_the_lint_fires(
    step: Step, family: str, steps: str, old: int, new: int, init: str
) -> None:
    grown = step(family, "; ".join(f"{line}, init {init}" for line in steps.split("; ")))
    found = grown.of_new(old, new)
    assert found
    assert (max(found.values()) < ZERO) == ("GP902" in grown.lints), found
    if init == "like":
        assert max(found.values()) > 1e-3, found


@pytest.mark.parametrize("init", ["like", "normal(0)"])
def test_new_head_dims_learn_through_their_keys(step: Step, init: str) -> None:
    """Queries of new dims are 0; keys of 0 beside them would leave both where they are."""
    grown = step("llama", f"widen head_dim 12→16 via fpi, init {init}")
    new = [[], []]  # type: list[list[float]]
    for name, gradient in grown.gradients.items():
        for found, part in zip(new, ("q_proj", "k_proj"), strict=True):
            if part in name:  # heads x halves x (6 old, 2 new)
                by_dim = gradient.reshape(-1, 2, 8, gradient.shape[-1])
                found.append(float(by_dim[:, :, 6:].abs().max()) / grown.scale)
    queries, keys = map(max, new)
    assert keys < ZERO, "the first step moves queries alone"
    assert (queries < ZERO) == ("GP902" in grown.lints) == (init == "normal(0)")


@pytest.mark.parametrize("init", ["like", "normal(0)"])
def test_new_words_learn_from_zero_too(step: Step, init: str) -> None:
    grown = step("gpt2", f"widen vocab 31→40 via fpi, init {init}")
    assert max(grown.of_new(31, 40).values()) > 1e-7
    assert "GP902" not in grown.lints


# layers -------------------------------------------------------------------------------------------

WRITERS = {"gpt2": ("attn.c_proj", "mlp.c_proj"), "llama": ("o_proj", "down_proj")}


@pytest.mark.parametrize("method", ["identity", "lemon", "lemon, fan-in next", "llama-pro"])
@pytest.mark.parametrize("family", WRITERS)
def test_silent_blocks_learn_through_their_writers_alone(step: Step, family: str, method: str) -> None:
    grown = step(family, f"deepen depth x2 via {method}")
    silent = [i for i, layer in enumerate(grown.typed.steps[0].layers) if layer.silent]
    assert len(silent) == 2
    for name, gradient in grown.gradients.items():
        if any(f".{i}." in name for i in silent):
            writes = any(part in name for part in WRITERS[family])
            moves = float(gradient.abs().max()) / grown.scale > 1e-6
            assert moves == writes, name


SHARED = {"k_proj", "v_proj"}  # of kv heads that are no copies: what comes back over equal queries cancels
CANCELLING = [
    ("gpt2", "widen heads x2 via lemon", set()),
    ("llama", "widen heads x2 via lemon", SHARED),
    ("llama", "grow heads 6→12, kv_heads 3→6 via lemon", set()),
]


@pytest.mark.parametrize(("family", "heads", "still"), CANCELLING)
def test_blocks_that_cancel_over_copies_learn_at_once(
    step: Step, family: str, heads: str, still: set[str]
) -> None:
    """LEMON's second type: the new block adds nothing, and its weights get a gradient in the first step."""
    width = f"widen ffn 80→160 via lemon; {heads}; widen hidden 48→96 via lemon"
    grown = step(family, f"{width}; deepen depth x2 via lemon, type 2")
    new = [i for i, layer in enumerate(grown.typed.steps[-1].layers) if layer.silent]
    assert len(new) == 2
    found = {
        name.split(".")[-2]
        for name, gradient in grown.gradients.items()
        if any(f".{i}." in name for i in new) and float(gradient.abs().max()) / grown.scale < 1e-9
    }
    assert found == still
