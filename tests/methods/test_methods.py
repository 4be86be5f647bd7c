"""Methods alone: what their options do, which units their maps copy."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from growplan.algebra import Expansion
from growplan.methods import get_method, method_names
from growplan.methods.base import Method, Option, OptionValue, UpcycleRequest, WidthRequest
from growplan.methods.support.heads import head_maps
from growplan.methods.support.layers import spread

METHODS = [method for name in method_names() if (method := get_method(name)) is not None]
MEASURING = {"data", "batch", "length", "scale", "mask"}  # read by what measures: tests/learn
OPTIONS = [
    (method, option)
    for method in METHODS
    for option in method.options
    if not (method.on_data and option.name in MEASURING)
]
SIZES = {"hidden": 48, "ffn": 48, "heads": 6, "kv_heads": 6, "vocab": 31, "positions": 24, "depth": 4}


WITH = {  # where an option is read
    ("identity", "init"): {"new": "fresh"},
    ("mslt", "init"): {"new": "fresh"},
    ("lemon", "scale"): {"split": "comp"},
    ("upcycle", "scale"): {"granularity": 2},
}
ASKS_SIZE = {("upcycle", "top-k"): 3, ("upcycle", "granularity"): 2}


def proposed(method: Method, options: Mapping[str, OptionValue]) -> object:
    """What a method makes of a growth of one of its axes, of depth, or of an ffn."""
    if method.learned:
        return method.operator(options, None)
    if method.verbs == ("upcycle",):
        return method.upcycle(UpcycleRequest(8, SIZES["ffn"], options))
    if not method.axes:
        asked = method.depth(4, options)
        if asked is not None:
            return asked
        return method.deepen(4, 6 if method.name != "gstack" else 8, options), method.predictor(options)
    axes = [next(a for a in ("ffn", "heads") if a in method.axes), *({"vocab"} & set(method.axes))]
    short = method.name != "hypercloning"  # which knows multiples alone
    grow = {axis: (SIZES[axis], 2 * SIZES[axis] - short) for axis in axes}
    adds = "deepen" in method.verbs or "depth" in method.axes
    layers = method.deepen(4, 6, options) if adds else ()
    widths = method.widen(WidthRequest(grow, SIZES, "key", options))
    return widths, layers, method.unties(options), method.ramp(options, None)


@pytest.mark.parametrize(("method", "option"), OPTIONS, ids=[f"{m.name}-{o.name}" for m, o in OPTIONS])
def test_every_option_is_read(method: Method, option: Option) -> None:
    more = WITH.get((method.name, option.name), {})
    other = ASKS_SIZE.get((method.name, option.name), 1 if option.default == 0 else "normal(0.5)")
    values = option.choices or (option.default, *(() if option.range else (other,)))
    numbers = (int(option.range != (0, 1e4)),) if option.whole else (0.25, 3.5)
    numbers = (0.25, 0.5) if option.range == (0, 1) else numbers
    values = (*values, *(numbers if option.range else ()))
    found = [proposed(method, {**more, option.name: value}) for value in values]
    assert all(a != b for i, a in enumerate(found) for b in found[:i])
    assert proposed(method, more) == proposed(method, {**more, option.name: option.default})


@pytest.mark.parametrize("name", ["net2net", "bert2bert"])
def test_random_maps_are_drawn_apart(name: str) -> None:
    """Axes of one size get maps of their own, and another seed other ones; every old unit is drawn from."""
    method = get_method(name)
    assert method is not None
    grow = {"hidden": (48, 480), "ffn": (48, 480)}
    one, again, other = (method.widen(WidthRequest(grow, SIZES, key))[0].maps for key in ("a", "a", "b"))
    assert one == again != other
    assert one["hidden"] != one["ffn"]
    assert min(one["ffn"].counts[-6:]) > 1


def test_kv_heads_that_do_not_divide_favour_the_first() -> None:
    maps = head_maps({"heads": (9, 12), "kv_heads": (3, 4)}, SIZES, Expansion.circular)
    assert maps["kv_heads"] == Expansion.of_units(3, [0, 0, 1, 2])
    assert maps["heads"] == Expansion.of_units(9, [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8])


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [(4, 6, [1, 3]), (4, 8, [0, 1, 2, 3]), (3, 4, [2]), (1, 3, [0, 0])],
)
def test_silent_layers_are_spread(old: int, new: int, after: list[int]) -> None:
    layers = spread(old, new)
    assert [s.layer for s in layers if not s.silent] == list(range(old))
    assert [s.layer for s in layers if s.silent] == after
