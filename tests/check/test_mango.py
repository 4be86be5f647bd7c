"""Tensor rings, checked: which blocks there are, how many numbers the cores hold, what is said of them."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest

from growplan.check.cost import cost
from growplan.check.mango import MangoLayout
from growplan.check.typed import OperatorCost, TypedStep
from growplan.diagnostics import DiagnosticError
from growplan.views.check import step_data
from growplan.views.show.table import leaf_rows
from tests.check.models import check
from tests.check.test_learned import PAIR, SMALL_BERT, TOY

RING = PAIR.replace("via ligo", "via mango")
GROUPED: dict[str, Any] = {"hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3}


def only(family: str, line: str, **config: Any) -> TypedStep:
    (step,) = check(family, line, **config).steps
    return step


def layout(step: TypedStep) -> MangoLayout:
    assert step.operator is not None
    return MangoLayout(step.before, step.after, step.operator)


def measured(step: TypedStep) -> OperatorCost:
    assert step.fit_cost is not None
    return step.fit_cost


def groups(step: TypedStep) -> dict[str, int]:
    return {group.name: group.blocks for group in layout(step).groups}


# sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rank", "numbers"), [(1, 786_648), (4, 12_586_368), (10, 78_664_800)])
def test_the_papers_count(rank: int, numbers: int) -> None:
    """R^2 (B1 B2 + I1 I2 + O1 O2 + L1 L2), B = 4 + 2k = 12: one ring for all weights of all layers."""
    step = only("bert", f"{RING}, rank {rank}", **SMALL_BERT)
    assert groups(step) == {"stream-stream": 12}
    assert numbers == rank**2 * (12 * 12 + 2 * 512 * 768 + 6 * 12)
    assert measured(step).parameters == numbers
    assert sum(prod(leaf.shape) for leaf in step.leaves) == numbers
    assert dict(measured(step).parts) == {
        "width": rank**2 * 2 * 512 * 768,
        "blocks": rank**2 * 144,
        "depth": rank**2 * 72,
    }


@pytest.mark.parametrize(
    ("family", "line", "config", "blocks", "numbers"),
    [
        ("gpt2", "grow hidden 64→128, ffn 256→512, depth 2→4", TOY, {"stream-stream": 12},
         144 + 2 * 8192 + 8),
        ("gpt2", "grow hidden 64→128, depth 2→4", TOY, {"stream-stream": 4, "ffn-stream": 1, "stream-ffn": 1},
         16 + 1 + 1 + 2 * 8192 + 2 * 256 * 256 + 8),
        ("gpt2", "grow depth 2→4", TOY, {"stream-stream": 12}, 144 + 2 * 64 * 64 + 8),
        ("gpt2", "grow hidden 64→128, ffn 256→512, depth 2→4 via mango on c.txt, mix heads", TOY,
         {"heads-stream": 3, "stream-heads": 1, "stream-stream": 8}, 9 + 1 + 64 + 2 * 8192 + 2 * 4 * 8 + 8),
        ("smollm", "grow hidden 576→768, heads 9→12, kv_heads 3→4, ffn 1536→2048", GROUPED,
         {"heads-stream": 1, "kv_heads-stream": 2, "stream-heads": 1, "ffn-stream": 2, "stream-ffn": 1},
         1 + 4 + 1 + 4 + 1 + 2 * 576 * 768 + 2 * 9 * 12 + 3 * 4 + 2 * 1536 * 2048 + 30 * 30),
        ("smollm", "grow hidden 576→768, ffn 1728→2304", {**GROUPED, "intermediate_size": 1728},
         {"heads-stream": 1, "kv_heads-stream": 2, "stream-heads": 1, "stream-stream": 9},
         1 + 4 + 1 + 81 + 2 * 576 * 768 + 2 * 9 * 12 + 3 * 3 + 30 * 30),
    ],
)  # fmt: skip
def test_blocks_and_numbers(
    family: str, line: str, config: dict[str, Any], blocks: dict[str, int], numbers: int
) -> None:
    """Groups of blocks by what they write and read; R^2 (B^2 each + old * new of each core + L L*)."""
    line = line if "via" in line else f"{line} via mango on c.txt"
    for rank in (1, 3):
        step = only(family, f"{line}, rank {rank}", **config)
        assert groups(step) == blocks
        assert measured(step).parameters == rank**2 * numbers
        assert sum(prod(leaf.shape) for leaf in step.leaves) == rank**2 * numbers


def test_what_the_fit_costs() -> None:
    """FLOPs by hand, of a model of one ring: the outputs' core, blocks, layers, the inputs' core."""
    line = (
        "grow hidden 64→128, ffn 256→512, depth 2→4 via mango on c.txt for 7 steps, batch 3, tokens 5, rank 2"
    )
    step = only("gpt2", line, **TOY)
    b, d, e, old, new, r = 12, 64, 128, 2, 4, 2
    mixed = r**3 * (b * b * old + b * old * new) * d * e
    ring = r**2 * b * old * d * d * e + mixed + r**2 * b * new * d * e * e
    tables = (256 + 64) * d * e + 2 * d * e  # both embeddings, the last norm
    vectors = new * (old * 13 * d + 13 * d * e)  # norms and biases of a layer: 13 times 64 numbers
    assert layout(step).materialise == 2 * (ring + tables + vectors)
    target = cost(step.after)
    assert measured(step).flops == 7 * 3 * (target.flops_per_token * 15 + layout(step).materialise)


# words ---------------------------------------------------------------------------------------------


def test_what_check_says() -> None:
    step = only("gpt2", "grow hidden 64→128, depth 2→4 via mango on c.txt, rank 2", **TOY)
    assert step.candidate == "tensor rings"
    assert any("stream-stream: each of 4 blocks" in reason for reason in step.proof.reasons)
    assert any("cores of 2 bonds for stream, ffn" in reason for reason in step.proof.reasons)
    assert step_data(step)["operator"]["cost"]["parts"]["blocks"] == 4 * 18
    names = {row[0]: row[1:] for row in leaf_rows(check("gpt2", step.text, **TOY))}
    assert names[f"{step.id}/S_O/stream"] == ("2 × 64 × 128 × 2", "identity, rand", "32,768")
    assert names[f"{step.id}/S_L"][1] == "stackbert"


def test_nothing_is_claimed() -> None:
    step = only("gpt2", "grow hidden 64→128 via mango on c.txt", **TOY)
    assert (step.promised.strength, step.proof.claim.strength) == ("none", "none")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("grow hidden 64→128 via mango on c.txt, expect exact", "GP204"),
        ("grow hidden 64→128 via mango", "GP118"),
        ("widen hidden 64→128 via mango", "GP113"),
        ("grow vocab 256→300 via mango on c.txt", "GP114"),
        ("grow hidden 64→128 via mango on c.txt, rank 0", "GP116"),
        ("grow hidden 64→128 via mango on c.txt, rank 1.5", "GP116"),
        ("grow hidden 64→128 via mango on c.txt, tying shared", "GP115"),
        ("grow hidden 64→128 via mango on c.txt, init fpi", "GP115"),
        ("grow hidden 64→128 via mango on c.txt, noise 0.1", "GP230"),
        ("grow hidden 64→128 via ligo on c.txt, depth-init interlace, noise 0.1", "GP230"),
    ],
)
def test_refusals(line: str, code: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        check("gpt2", line, **TOY)
    (found,) = error.value.diagnostics
    assert found.code == code
    assert found.help


@pytest.mark.parametrize(
    "line",
    ["via mango on c.txt, rank 2, noise 0.1", "via mango on c.txt, width-init sel-noisy, noise 0.1",
     "via ligo on c.txt, noise 0.1"],
)  # fmt: skip
def test_noise_is_read(line: str) -> None:
    step = only("gpt2", f"grow hidden 64→128, depth 2→4 {line}", **TOY)
    assert step.operator is not None
    assert step.operator.noise == 0.1


def test_an_operator_larger_than_the_model_says_which_rank_is_not() -> None:
    line = "grow hidden 64→128, ffn 256→512, depth 2→4 via mango on c.txt, rank {}"
    heavy = next(d for d in check("gpt2", line.format(20), **TOY).lints if d.code == "GP920")
    (way,) = heavy.help
    rank = int(way.strip("`").removeprefix("rank "))
    assert not any(d.code == "GP920" for d in check("gpt2", line.format(rank), **TOY).lints)
    assert any(d.code == "GP920" for d in check("gpt2", line.format(rank + 1), **TOY).lints)
