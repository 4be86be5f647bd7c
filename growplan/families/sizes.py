"""Sizes of axes: read from a config, checked against the family's equations, written back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from growplan.checkpoint.config import Config
from growplan.families.expr import ExpressionError, evaluate_size, size_names
from growplan.families.model import Family, Model, SizeRule
from growplan.families.problems import Problems

LARGEST = 1 << 24  # units of one axis
DEEPEST = 4096  # layers


def resolve_sizes(family: Family, config: Config, problems: Problems) -> dict[str, int]:
    """The size of every axis; what cannot be read is reported and left out.

    Reports GP314 (missing key), GP315 (not a usable size), GP316 (a formula without a whole
    value), GP321 (two keys for one axis that disagree).
    """
    sizes: dict[str, int] = {}
    waiting: list[SizeRule] = []
    for rule in family.sizes:
        key = _given(rule, config.data)
        if key is not None:
            size = _read(rule, key, config, problems)
            if size is not None:
                sizes[rule.axis] = size
        elif rule.default is not None:
            waiting.append(rule)
        else:
            help = f"`{rule.key}` is the config key of `{rule.axis}` in family {family.name}"
            problems.add("GP314", f"config.json does not say `{rule.key}`", _whole(config), help=help)
    _defaults(waiting, sizes, config, problems)
    _agree(family, config, sizes, problems)
    return sizes


def _given(rule: SizeRule, data: Mapping[str, Any]) -> str | None:
    keys = ([rule.key] if rule.key else []) + list(rule.also)
    return next((key for key in keys if data.get(key) is not None), None)


def _read(rule: SizeRule, key: str, config: Config, problems: Problems) -> int | None:
    value = config.data[key]
    if rule.length and key == rule.key:
        if isinstance(value, Mapping | list) and value:
            return len(value)
        help = "write a list or an object with an entry for each"
        problems.add("GP315", f"`{key}` names the {rule.axis}, one each", config.span(key), help=help)
        return None
    limit = DEEPEST if rule.axis == "depth" else LARGEST
    if type(value) is int and 1 <= value <= limit:
        return value
    shown = value if isinstance(value, int | float | bool) else type(value).__name__
    message = f"`{key}` is not a size for `{rule.axis}`: {str(shown)[:40]}"
    problems.add("GP315", message, config.span(key), help=f"a whole number from 1 to {limit}")
    return None


def _defaults(waiting: list[SizeRule], sizes: dict[str, int], config: Config, problems: Problems) -> None:
    """Defaults and derived sizes, in whatever order they need each other."""
    while waiting:
        ready = [rule for rule in waiting if _computable(rule, sizes)]
        if not ready:
            return _stuck(waiting, sizes, config, problems)
        for rule in ready:
            waiting.remove(rule)
            assert rule.default is not None
            value = evaluate_size(rule.default, sizes)
            if isinstance(value, int) and 1 <= value <= LARGEST:
                sizes[rule.axis] = value
                continue
            key = f"`{rule.key}` is not given, and " if rule.key else ""
            message = f"{key}`{rule.axis} = {rule.default}` is {value}, which is no size"
            help = f"give `{rule.key}` in config.json" if rule.key else "correct the sizes it is made of"
            problems.add("GP316", message, _whole(config), help=help)


def _stuck(waiting: list[SizeRule], sizes: Mapping[str, int], config: Config, problems: Problems) -> None:
    """Report formulas that have no value, or need each other; what others need was reported missing."""
    needs = {rule.axis: size_names(str(rule.default)) - sizes.keys() for rule in waiting}
    while reported := {axis for axis, missing in needs.items() if not missing <= needs.keys()}:
        needs = {axis: missing for axis, missing in needs.items() if axis not in reported}
    for rule in waiting:
        if rule.axis in needs:
            missing = needs[rule.axis]
            why = f"needs {' and '.join(sorted(missing))}" if missing else "divides by zero"
            message = f"`{rule.axis} = {rule.default}` {why}: it has no value"
            help = f"give `{rule.key}` in config.json" if rule.key else "correct it in the family file"
            problems.add("GP316", message, _whole(config), help=help)


def _computable(rule: SizeRule, sizes: Mapping[str, int]) -> bool:
    assert rule.default is not None
    try:
        evaluate_size(rule.default, sizes)
    except ExpressionError:
        return False
    return True


def _agree(family: Family, config: Config, sizes: Mapping[str, int], problems: Problems) -> None:
    for key, axis in family.aliases.items():
        value = config.data.get(key)
        if value is None or axis not in sizes or value == sizes[axis]:
            continue
        if any(problem.code == "GP315" and f"`{key}`" in problem.message for problem in problems.found):
            continue
        main = next((rule.key for rule in family.sizes if rule.axis == axis and rule.key), axis)
        message = f"`{key}` and `{main}` disagree about `{axis}`: {value!r:.40} and {sizes[axis]}"
        problems.add("GP321", message, config.span(key), help=f"remove `{key}`")


def check_sizes(family: Family, sizes: Mapping[str, int], config: Config, problems: Problems) -> None:
    """Report constraints (GP316) and equations (GP317) that do not hold."""
    for left, right in family.constraints:
        a, b = _value(left, sizes), _value(right, sizes)
        if a is not None and b is not None and (b == 0 or a % b != 0):
            message = f"`{left}` must be a multiple of `{right}`: {a} is no multiple of {b}"
            help = "correct the size in config.json: the model could not be built with it"
            problems.add("GP316", message, _place(family, config, left, right), help=help)
    if sizes.get("active", 0) > sizes.get("experts", LARGEST):
        message = f"a token passes {sizes['active']} experts, and there are {sizes['experts']}"
        place = _place(family, config, "active")
        problems.add("GP316", message, place, help="correct the size in config.json")
    if any(problem.code in ("GP314", "GP315", "GP316") for problem in problems.found):
        return
    for left, right in open_equations(family, sizes):
        a, b = _value(left, sizes), _value(right, sizes)
        message = f"`{left} == {right}` does not hold: {a} and {b}"
        help = "correct the sizes in config.json: transformers could not load such a model"
        problems.add("GP317", message, _place(family, config, left, right), help=help)


def _value(expression: str, sizes: Mapping[str, int]) -> Any:
    try:
        return evaluate_size(expression, sizes)
    except ExpressionError:
        return None


def _place(family: Family, config: Config, *expressions: str) -> Any:
    """The last config key that a size in `expressions` comes from."""
    names = {name for text in expressions for name in size_names(text)}
    keys = [rule.key for rule in family.sizes if rule.axis in names and rule.key in config.data]
    return config.span(keys[-1]) if keys and keys[-1] else _whole(config)


def _whole(config: Config) -> Any:
    from growplan.diagnostics import Span

    return Span(config.source, 0, 1)


def open_equations(family: Family, sizes: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """The family's equations that these sizes do not satisfy."""
    return tuple(pair for pair in family.equations if _differ(pair, sizes))


def kept_equations(family: Family, sizes: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """The family's `keeps` that these sizes satisfy: in force until a step releases them."""
    return tuple(pair for pair in family.keeps if not _differ(pair, sizes))


def broken_constraints(family: Family, sizes: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """The (dividend, divisor) pairs that do not divide under these sizes."""
    out = []
    for left, right in family.constraints:
        a, b = _value(left, sizes), _value(right, sizes)
        if a is not None and b is not None and (b == 0 or a % b != 0):
            out.append((left, right))
    return tuple(out)


def _differ(pair: tuple[str, str], sizes: Mapping[str, int]) -> bool:
    return bool(_value(pair[0], sizes) != _value(pair[1], sizes))


def explicit_config(
    model: Model, sizes: Mapping[str, int], updates: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The config of `model` grown to `sizes`: every size key written, then `updates`.

    Where any axis moves, derived defaults (`n_inner: null`, an absent head_dim) are written
    out, because their formula would give something else after growth (a `sparing` one only where it
    does). Other keys that repeat a size (`n_ctx`) follow. Unknown keys are untouched.
    """
    out = dict(model.config)
    if dict(sizes) != dict(model.sizes):
        for rule in model.family.sizes:
            if rule.key and not rule.length and not _left_out(rule, out, sizes):
                out[rule.key] = sizes[rule.axis]
        for key, axis in model.family.aliases.items():
            if out.get(key) is not None:
                out[key] = sizes[axis]
    out.update(updates or {})
    return out


def _left_out(rule: SizeRule, config: Mapping[str, Any], sizes: Mapping[str, int]) -> bool:
    """Whether a `sparing` key stays absent: the default still gives the size."""
    absent = rule.sparing and rule.default is not None and config.get(str(rule.key)) is None
    return absent and evaluate_size(str(rule.default), sizes) == sizes[rule.axis]
