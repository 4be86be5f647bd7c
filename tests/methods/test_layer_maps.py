"""The layer map of every method that adds layers, against lists written by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.methods import get_method
from growplan.methods.base import LayerSource, OptionValue
from growplan.methods.support.layers import spread
from growplan.methods.support.lemon_depth import lemon_layers

Options = Mapping[str, OptionValue]


def words(layers: tuple[LayerSource, ...]) -> str:
    """`0 1 1' 2* 0|1`: ' is silent, * fresh, 0|1 predicted above layer 1, the rest of it of layer 0."""
    marks = (f"{'*' * bool(s.fresh)}{chr(39) * s.silent}" for s in layers)
    above = ("" if s.predicted is None else f"|{s.predicted}" for s in layers)
    return " ".join(f"{s.layer}{mark}{after}" for s, mark, after in zip(layers, marks, above, strict=True))


def deepen(name: str, old: int, new: int, options: Options) -> tuple[LayerSource, ...]:
    if name == "lemon":
        return lemon_layers(old, new, options)
    method = get_method(name)
    assert method is not None
    return method.deepen(old, new, options)


MAPS: list[tuple[str, int, int, Options, str]] = [
    ("identity", 4, 6, {}, "0 1 1' 2 3 3'"),
    ("identity", 3, 4, {}, "0 1 2 2'"),
    ("identity", 2, 7, {}, "0 0' 0' 1 1' 1' 1'"),
    ("identity", 1, 4, {}, "0 0' 0' 0'"),
    ("identity", 5, 8, {}, "0 1 1' 2 3 3' 4 4'"),
    ("identity", 2, 4, {"place": "end"}, "0 1 1' 1'"),
    ("identity", 2, 4, {"place": "start"}, "0' 0' 0 1"),
    ("identity", 2, 3, {"new": "fresh"}, "0 1 1*'"),
    ("net2net", 4, 6, {}, "0 1 1' 2 3 3'"),
    ("llama-pro", 4, 6, {}, "0 1 1' 2 3 3'"),
    ("llama-pro", 6, 8, {}, "0 1 2 2' 3 4 5 5'"),
    ("llama-pro", 3, 6, {}, "0 0' 1 1' 2 2'"),
    ("llama-pro", 4, 6, {"place": "end"}, "0 1 2 3 3' 3'"),
    ("llama-pro", 4, 6, {"place": "start"}, "0' 0' 0 1 2 3"),
    ("solar", 8, 12, {}, "0 1 2 3 4 5 2 3 4 5 6 7"),
    ("solar", 8, 12, {"m": 2}, "0 1 2 3 4 5 2 3 4 5 6 7"),
    ("solar", 5, 8, {}, "0 1 2 3 1 2 3 4"),
    ("solar", 3, 6, {}, "0 1 2 0 1 2"),
    ("midas", 6, 8, {}, "0 1 2 3 2 3 4 5"),
    ("midas", 6, 12, {}, "0 1 2 3 4 5 0 1 2 3 4 5"),
    ("midas", 6, 12, {"block": 2}, "0 1 2 3 2 3 2 3 2 3 4 5"),
    ("midas", 4, 6, {}, "0 1 0 1 2 3"),
    ("midas", 4, 6, {"block": 1}, "0 1 1 1 2 3"),
    ("midas", 5, 6, {}, "0 1 2 2 3 4"),
    ("lesa", 4, 6, {}, "0 1 0|1 2 0|2 3"),
    ("lesa", 4, 7, {}, "0 0|0 1 0|1 2 0|2 3"),
    ("lesa", 6, 8, {"rest": "below"}, "0 1 2 3 3|3 4 4|4 5"),
    ("lesa", 7, 10, {"place": "spread", "rest": "below"}, "0 1 1|1 2 3 3|3 4 5 5|5 6"),
    ("lesa", 5, 6, {"place": "spread"}, "0 1 2 0|2 3 4"),
    ("lesa", 6, 8, {"place": 1, "rest": "below"}, "0 1 1|1 2 2|2 3 4 5"),
    ("lesa", 4, 6, {"place": 1}, "0 1 0|1 2 0|2 3"),
    ("lesa", 4, 4, {}, "0 1 2 3"),
    ("stackbert", 3, 6, {}, "0 1 2 0 1 2"),
    ("gstack", 2, 6, {}, "0 1 0 1 0 1"),
    ("gstack", 2, 6, {"g": 3}, "0 1 0 1 0 1"),
    ("interlace", 3, 6, {}, "0 0 1 1 2 2"),
    ("interpolate", 3, 4, {}, "0 0 1 2"),
    ("bert2bert", 3, 6, {}, "0 1 2 0 1 2"),
    ("bert2bert", 3, 5, {}, "0 1 2 1 2"),
    ("bert2bert", 3, 8, {}, "0 1 2 0 1 2 1 2"),
    ("mslt", 3, 5, {}, "0 1 2 1 2"),
    ("mslt", 3, 6, {}, "0 1 2 0 1 2"),
    ("mslt", 2, 5, {"new": "fresh"}, "0 1 1* 1* 1*"),
    ("lemon", 4, 6, {}, "0 1 2 2' 3 3'"),
    ("lemon", 3, 6, {}, "0 0' 1 1' 2 2'"),
    ("lemon", 4, 6, {"fan-in": "next"}, "0 1 2 3' 3 3'"),
    ("lemon", 4, 4, {}, "0 1 2 3"),
]


@pytest.mark.parametrize(("name", "old", "new", "options", "expected"), MAPS)
def test_map(name: str, old: int, new: int, options: Options, expected: str) -> None:
    assert words(deepen(name, old, new, options)) == expected


@pytest.mark.parametrize("old", range(1, 9))
@pytest.mark.parametrize("new", range(1, 30, 3))
def test_spread_is_as_even_as_can_be(old: int, new: int) -> None:
    if new < old:
        return
    layers = spread(old, new)
    assert [s.layer for s in layers if not s.silent] == list(range(old)) and len(layers) == new
    counts = [sum(s.silent and s.layer == i for s in layers) for i in range(old)]
    assert max(counts) - min(counts) <= 1


REFUSED: list[tuple[str, int, int, Options, str, str]] = [
    ("llama-pro", 12, 17, {}, "GP121", "use 16 or 18 layers; or `via identity`, which takes any depth"),
    ("llama-pro", 12, 30, {}, "GP121", "use 24 layers; or `via identity`, which takes any depth"),
    ("stackbert", 12, 18, {}, "GP121", "use 24 layers; or `via interlace`, which takes any depth"),
    ("gstack", 12, 30, {}, "GP121", "use 24 or 36 layers; or `via interlace`, which takes any depth"),
    ("gstack", 4, 8, {"g": 3}, "GP221", "leave out the size, or `g`"),
    ("solar", 32, 47, {}, "GP121", "use 46 or 48 layers; or `via interlace`, which takes any depth"),
    ("solar", 32, 70, {}, "GP121", "use 64 layers; or `via interlace`, which takes any depth"),
    ("solar", 32, 48, {"m": 7}, "GP221", "leave out the size, or `m`"),
    ("solar", 8, 12, {"m": 5}, "GP222", "give an `m` from 0 to 4"),
    ("solar", 1, 2, {"m": 1}, "GP222", "give `m 0`: two whole copies"),
    ("midas", 12, 15, {"block": 4}, "GP121", "use 16 layers; or `via interlace`, which takes any depth"),
    ("midas", 12, 18, {"block": 5}, "GP222", "`block` may be 1, 2, 3, 4, 6, 12"),
    ("mslt", 3, 7, {}, "GP121", "use 6 layers; or `new fresh`, which takes any depth"),
    ("lesa", 4, 8, {}, "GP121", "use 7 layers; or `via interlace`, which takes any depth"),
    (
        "lesa",
        2,
        4,
        {},
        "GP564",
        "`deepen depth 2→4 via interpolate`, or `via identity`, which need one",
    ),
    ("lesa", 32, 48, {"place": 16}, "GP566", "`place 15`, which is the highest, or `place top`"),
    ("lemon", 6, 13, {}, "GP121", "use 12 layers; or `via identity`, which takes any depth"),
]


def refusal(name: str, old: int, new: int, options: Options) -> Diagnostic:
    with pytest.raises(DiagnosticError) as error:
        deepen(name, old, new, options)
    (found,) = error.value.diagnostics
    return found


@pytest.mark.parametrize(("name", "old", "new", "options", "code", "help"), REFUSED)
def test_refused(name: str, old: int, new: int, options: Options, code: str, help: str) -> None:
    found = refusal(name, old, new, options)
    assert (found.code, "; ".join(found.help)) == (code, help)


@pytest.mark.parametrize(("name", "old", "new", "options"), [r[:4] for r in REFUSED if r[4] == "GP121"])
def test_the_depths_named_work(name: str, old: int, new: int, options: Options) -> None:
    depths = refusal(name, old, new, options).help[0].removeprefix("use ").removesuffix(" layers")
    for depth in depths.split(" or "):
        assert len(deepen(name, old, int(depth), options)) == int(depth)


@pytest.mark.parametrize(("name", "options", "depth"), [("gstack", {"g": 3}, 36), ("solar", {"m": 3}, 18)])
def test_options_that_stand_for_a_size(name: str, options: Options, depth: int) -> None:
    method = get_method(name)
    assert method is not None and method.depth(12, options) == depth and method.depth(12, {}) is None
