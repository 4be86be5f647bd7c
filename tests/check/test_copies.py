"""Methods that copy units: refusals with ways out, the tie between copies, why post-norm wants multiples."""

from __future__ import annotations

import numpy as np
import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.methods import get_method, method_names
from tests.check.dense import layer_norm
from tests.check.models import check
from tests.ir.test_lowered import SMALL

DOUBLED = "hidden 48→96, heads 6→12, ffn 80→160"


def refused(family: str, steps: str) -> tuple[str, str, tuple[str, ...]]:
    with pytest.raises(DiagnosticError) as error:
        check(family, steps, **SMALL[family])
    (d,) = error.value.diagnostics
    return d.code, d.message, d.help


@pytest.mark.parametrize(
    ("family", "steps", "code", "message", "way"),
    [
        (
            "gpt2",
            "widen hidden 48→72 via hypercloning",
            "GP231",
            "`hidden` 72 is no multiple of 48",
            "widen hidden to 96",
        ),
        (
            "smollm",
            "widen ffn 80→200 via hypercloning",
            "GP231",
            "200 is no multiple",
            "widen ffn to 160 or 240",
        ),
        (
            "smollm",
            f"grow {DOUBLED} via staged",
            "GP232",
            "`kv_heads` goes 3→3",
            "write `grow hidden 48→96, heads 6→12, kv_heads 3→6, ffn 80→160 via staged`",
        ),
        (
            "gpt2",
            "grow hidden 48→96, heads 6→12 via staged",
            "GP232",
            "`ffn` goes 80→80",
            f"write `grow {DOUBLED}",
        ),
        (
            "gpt2",
            "widen ffn 80→100 via lemon, scale 0.5",
            "GP230",
            "`split projection` has none",
            "write `split comp`",
        ),
        (
            "gpt2",
            "widen ffn 80→100 via lemon, split comp, scale 11",
            "GP116",
            "cannot be 11",
            "a number from 0 to 10",
        ),
        ("gpt2", "widen ffn 80→100 via net2net, noise loud", "GP116", "cannot be `loud`", "`none`, a number"),
        (
            "gpt2",
            "widen ffn 80→100 via fpi, noise -201",
            "GP116",
            "cannot be -201",
            "a number from -200 to 200",
        ),
        (
            "gpt2",
            "widen hidden x2 via staged",
            "GP113",
            "`staged` has no meaning for `widen`",
            "methods for `widen`",
        ),
    ],
)
def test_refusals(family: str, steps: str, code: str, message: str, way: str) -> None:
    found, said, ways = refused(family, steps)
    assert (found, message in said, any(way in each for each in ways)) == (code, True, True), (said, ways)


@pytest.mark.parametrize(
    ("family", "steps", "noise"),
    [
        ("gpt2", "widen hidden 48→72 via lemon", False),  # one copy and mean rows
        ("gpt2", "widen hidden 48→120 via lemon", True),
        ("smollm", "widen hidden 48→72 via fpi, noise 10", False),
        ("gpt2", "widen ffn 80→80 via lemon", False),
        ("gpt2", "widen ffn 80→81 via lemon", True),
        ("gpt2", "widen ffn 80→160 via hypercloning, snr_db 10", True),
        ("gpt2", "widen ffn 80→160 via hypercloning, snr_db none", False),
        ("gpt2", "widen ffn 80→100 via net2net, noise none", False),
    ],
)
def test_noise_is_told_where_it_is_drawn(family: str, steps: str, noise: bool) -> None:
    step = check(family, steps, **SMALL[family]).steps[0]
    assert any("noise" in reason for reason in step.proof.reasons) == noise


@pytest.mark.parametrize("name", method_names())
def test_defaults_can_be_written(name: str) -> None:
    """What `growplan methods` prints as an option's default is a word of a plan; `""` is no default."""
    method = get_method(name)
    assert method is not None
    for option in method.options:
        if option.default == "":
            assert "(required)" in option.doc
            continue
        plan = parse_text(f"widen ffn to 9 via {name}, {option.name} {option.default}", "-e", "dsl")
        assert {k: str(v) for k, v in plan.steps[0].options.items()} == {option.name: str(option.default)}


@pytest.mark.parametrize(
    ("steps", "tied"),
    [
        ("widen hidden 48→96 via lemon", False),
        ("widen hidden 48→96 via lemon, split comp", False),
        ("widen hidden 48→96 via lemon, split uneven", False),
        ("widen hidden 48→96 via lemon, split even", True),
        ("widen hidden 48→96 via hypercloning", True),
        ("widen hidden 48→96 via hypercloning, snr_db 20", False),
        ("widen ffn 80→100 via net2net", True),
        ("widen ffn 80→100 via net2net, noise 20", False),
        (f"grow {DOUBLED} via staged", True),
    ],
)
def test_copies_that_stay_equal_are_a_lint(steps: str, tied: bool) -> None:
    typed = check("gpt2", steps, **SMALL["gpt2"])
    assert str(typed.claim) == "exact"
    assert ("GP901" in {d.code for d in typed.lints}) == tied


def test_implied_steps_take_their_options_along() -> None:
    typed = check("gpt2", "widen hidden 48→96 via hypercloning, snr_db 20", **SMALL["gpt2"])
    assert [s.text for s in typed.steps][1] == "widen heads 6→12 via hypercloning, snr_db 20"


def test_post_norm_refuses_all_but_multiples() -> None:
    code, _, ways = refused("bert", "widen hidden 48→72 via lemon")
    assert (code, ways[0]) == ("GP201", "widen hidden to 96, a multiple of 48")


def test_no_padding_survives_a_norm_in_the_stream() -> None:
    """x -> LN(x), then LN(x) + f. A pad p beside LN(x) + f must be the mean of its units again.

    The norm leaves a constant there, whatever its scale and shift; what f may add is linear in what
    f puts out. But the mean of gamma z + beta moves with the input, so no constant is it.
    """
    rng = np.random.default_rng(0)
    n = 6
    gamma, beta = rng.normal(size=n), rng.normal(size=n)
    x = rng.normal(size=(400, n))
    wanted = layer_norm(x, gamma, beta, 1e-5).mean(-1)
    assert wanted.std() > 0.05
    pads = np.concatenate([x, np.repeat(x.mean(-1, keepdims=True), 3, -1)], -1)
    normed = layer_norm(pads, np.ones(n + 3), np.zeros(n + 3), 1e-5)[:, n:]
    assert np.abs(normed).max() < 1e-12, "mean pads come out as the shift alone"


WIDE = "grow hidden 48→96, heads 6→12, ffn 80→160 via lemon; "


def test_new_blocks_cancel_over_the_copies_of_the_plan() -> None:
    typed = check("gpt2", WIDE + "deepen depth 2→4 via lemon, type 2", **SMALL["gpt2"])
    assert str(typed.claim) == "exact"
    assert "cancel over equal units" in typed.steps[-1].proof.reasons[0]
    assert {axis: e.old for axis, e in typed.target.twins.items()} == {"hidden": 48, "heads": 6, "ffn": 80}


@pytest.mark.parametrize(
    ("steps", "reads"),
    [
        ("deepen depth 2→4 via lemon, type 2", "heads"),
        ("widen ffn 80→160 via lemon; deepen depth 2→4 via lemon, type 2", "heads"),
        ("grow hidden 48→96, heads 6→12, ffn 80→160 via aki; deepen depth 2→4 via lemon, type 2", "heads"),
        (WIDE + "deepen depth 2→3 via identity, new fresh; deepen depth 3→4 via lemon, type 2", "heads"),
    ],
)
def test_where_no_units_are_equal_nothing_cancels(steps: str, reads: str) -> None:
    """Trained units, units of another layer (AKI), layers that are drawn."""
    code, message, ways = refused("gpt2", steps)
    assert (code, "reads no copies" in message) == ("GP233", True)
    assert reads in ways[0]


@pytest.mark.parametrize(
    ("family", "steps", "step"),
    [
        ("gpt2", "grow hidden 48→96, heads 6→12, ffn 80→160 via aki", 1),
        ("gpt2", WIDE + "deepen depth 2→3 via identity, new fresh", 2),
        ("smollm", "grow hidden 48→96, heads x2, ffn x2 via lemon; upcycle ffn to 4 experts", 2),
    ],
)
def test_the_step_that_ends_the_equality_is_named(family: str, steps: str, step: int) -> None:
    """And widening after it is a way out; a plan that made no copies names no step."""
    sizes = {**SMALL[family], "tie_word_embeddings": False}
    deeper = "deepen depth to 4 via lemon, type 2"
    with pytest.raises(DiagnosticError) as error:
        check(family, f"{steps}; {deeper}", **sizes)
    (found,) = error.value.diagnostics
    assert found.code == "GP233"
    assert [label for label, _ in found.notes] == [f"step {step}"]
    assert found.help[0] == f"widen ffn and heads in a step before this one, after step {step}"
    check(family, f"{steps}; grow hidden x2, heads x2, ffn x2 via lemon; {deeper}", **sizes)
    with pytest.raises(DiagnosticError) as error:
        check(family, deeper, **SMALL[family])
    (found,) = error.value.diagnostics
    assert found.notes == () and "after step" not in found.help[0]


def test_twins_compose() -> None:
    """Two widenings and a stack: the units are those of the source, and every layer has them."""
    steps = "widen ffn 80→160 via lemon; stack depth x2; widen ffn 160→240 via net2net"
    twins = check("gpt2", steps, **SMALL["gpt2"]).target.twins["ffn"]
    assert (twins.old, twins.size) == (80, 240)
    assert list(twins.rows())[:160] == list(twins.rows())[:80] * 2
