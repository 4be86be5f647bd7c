"""The options of a step: what its method knows, which values it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeGuard

from growplan.diagnostics import Diagnostic, Span
from growplan.families.model import Model
from growplan.language.plan import Step
from growplan.methods.base import Method, Option, OptionValue

DEPTHS = ("depth", "num_hidden_layers", "n_layer", "num_layers")  # words for the number of layers


def check_options(step: Step, method: Method) -> Iterator[Diagnostic]:
    """Options that the method does not know, or values that it does not take."""
    known = {option.name: option for option in method.options}
    for key, value in step.options.items():
        option = known.get(key)
        if option is None:
            names = f"its options: {', '.join(known) or 'none'}"
            message = f"`{method.name}` has no option `{key}`"
            yield Diagnostic("GP115", message, step.place(key), help=(names,))
        elif not _reads(step, method, option):
            names = ", ".join(o.name for o in method.options if _reads(step, method, o))
            message = f"`{method.name}` does not read `{key}` in a step `{step.verb}`"
            ways = f"take it out; its options here: {names or 'none'}"
            yield Diagnostic("GP115", message, step.place(key), help=(ways,))
        else:
            yield from check_value(option, value, step.place(key))
    for key in ("on", "steps"):
        if getattr(step, key) is not None and not (method.learned or (key == "on" and method.on_data)):
            how = "fitted in steps" if method.on_data else "fitted on data"
            message = f"`{key}` belongs to methods that are {how}, and `{method.name}` is not"
            yield Diagnostic("GP117", message, step.place(key), help=("take it out",))
    if method.learned and step.on is None and step.verb in method.verbs:
        message = f"`{method.name}` is fitted on data, and the step names none"
        ways = "`… via ligo on corpus.txt for 100 steps`: a text, token ids, or images"
        yield Diagnostic("GP118", message, step.span, help=(ways.replace("ligo", method.name),))
    if step.over is not None and step.over < 1:
        ways = "leave `over` out to store no ramp"
        yield Diagnostic("GP117", "a ramp of fewer than 1 steps is none", step.place("over"), help=(ways,))


def check_value(option: Option, value: OptionValue, place: Span | None) -> Iterator[Diagnostic]:
    """GP116 where an option does not take a value."""
    ways = _ways_out(option, value)
    if ways:
        shown = str(value) if option.range is not None and _is_number(value) else f"`{value}`"
        yield Diagnostic("GP116", f"`{option.name}` cannot be {shown}", place, help=(ways,))


def _ways_out(option: Option, value: OptionValue) -> str:
    """What an option takes, where it does not take `value`."""
    whole = "whole " * _is_whole(option)
    if option.range is not None and _is_number(value):
        low, high = option.range
        fine = low <= float(value) <= high and _fits(option, value)
        return "" if fine else f"a {whole}number from {low:g} to {high:g}"
    if option.range is not None:
        known = value in option.choices
        return "" if known else ", ".join([*(f"`{c}`" for c in option.choices), f"a {whole}number"])
    if option.choices and str(value) not in option.choices:
        return f"one of: {', '.join(option.choices)}"
    if option.methods:  # whether there is one that fits here is judged with the step
        return ""
    if option.name == "init" and value != option.default and not _is_init(str(value)):
        first = "" if option.default == "like" else f"`{option.default}`, "
        return f"{first}`like`, or `normal(STD)` with a number, e.g. `normal(0.02)`"
    return "" if _fits(option, value) else f"give a {whole}number"


def check_rows(step: Step, model: Model, grow: Mapping[str, tuple[int, int]]) -> Iterator[Diagnostic]:
    """`rows` fills tables over ids: a step that grows none has no use for it."""
    tables = {axis for m in model.modules.values() if m.kind == "embedding" and m.ins for axis in m.ins.axes}
    if "rows" in step.options and not tables & set(grow):
        named = " and ".join(f"`{axis}`" for axis in grow)
        message = f"`rows` fills new rows of a table, and there is no table over {named} in this model"
        help = "take `rows` out: it belongs to a step that grows token embeddings or learned positions"
        yield Diagnostic("GP370", message, step.place("rows"), help=(help,))


def _reads(step: Step, method: Method, option: Option) -> bool:
    """Whether an option says something of widths where the step widens, of layers where it adds some."""
    if step.verb == "mask-in":
        return not option.layers or any(growth.axis in DEPTHS for growth in step.growths)
    return not method.axes or method.learned or option.layers == (step.verb in ("stack", "deepen"))


def _fits(option: Option, value: OptionValue) -> bool:
    """Whether a value is a number where the default is one, a whole one where only those count."""
    if option.whole:
        return type(value) is int or value in option.choices
    if isinstance(option.default, bool) or not isinstance(option.default, int | float):
        return True
    return not isinstance(value, bool) and isinstance(value, (int, type(option.default)))


def _is_whole(option: Option) -> bool:
    return option.whole or isinstance(option.default, int)


def _is_number(value: OptionValue) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_init(text: str) -> bool:
    if text == "like":
        return True
    if not (text.startswith("normal(") and text.endswith(")")):
        return False
    try:
        return 0 <= float(text[7:-1]) < 1e6
    except ValueError:
        return False
