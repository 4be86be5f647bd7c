"""Random plans, as (headers, steps) from which both spellings are written independently of the package."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import strategies as st

Value = str | int | float | bool
AXES = ["hidden", "ffn", "heads", "kv_heads", "hidden_size", "n_embd", "vocab"]
METHODS = ["fpi", "net2net", "bert2bert", "a-b", "x2"]
KEYS = ["split", "init", "init-std", "top_k", "to-be", "via2", "overs"]
STRINGS = [
    "even", "a b", "", "12", "1e-4", "true", "off", "012", "12:30", "~", "a,b", "a;b", "# c", "a # b",
    'q"q', "back\\slash",
    "'", "x: y", "[a]", "{a", "é→𝔸", "${v}"[1:], "-", "- a", "!t", "&a", "*a", "?", ": ", "%", "@", "`",
    "a#b", "=b", ":c",
    "normal(0.02)", " pad ", "null", "|", ">", "---", "...", "${v}", "a$${b", "tab\there",
]  # fmt: skip

sizes = st.integers(1, 10**9)
values: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(STRINGS),
    st.integers(-(10**12), 10**12),
    st.floats(-1e9, 1e9, allow_nan=False),
    st.booleans(),
)


@dataclass(frozen=True)
class StepSpec:
    """The content of a step, apart from every spelling."""

    verb: str
    growths: tuple[tuple[str, int | None, int | None, int | None], ...]  # axis, from, to, by
    fields: tuple[tuple[str, Value], ...]
    options: tuple[tuple[str, Value], ...]


@st.composite
def growths(draw: st.DrawFn, sized: bool = False) -> tuple[str, int | None, int | None, int | None]:
    axis = draw(st.sampled_from(AXES))
    kind = draw(st.sampled_from(["to", "by"] if sized else ["to", "by", "none"]))
    if kind == "none":
        return axis, None, None, None
    old = draw(st.none() | sizes)
    if kind == "to":
        return axis, old, draw(sizes), None
    return axis, old, None, draw(st.integers(2, 64))


@st.composite
def steps(draw: st.DrawFn, index: int = 0) -> StepSpec:
    verb = draw(st.sampled_from(["widen", "stack", "deepen", "mask-in", "grow", "upcycle"]))
    fields: dict[str, Value] = {}
    if draw(st.booleans()):
        fields["id"] = f"s{index}"
    if verb == "grow" or draw(st.booleans()):
        fields["via"] = draw(st.sampled_from(METHODS))
    if draw(st.booleans()):
        fields["expect"] = draw(st.sampled_from(["exact", "approximate", "none"]))
    if verb == "mask-in" and draw(st.booleans()):
        fields["over"] = draw(sizes)
    if verb == "grow" and draw(st.booleans()):
        fields["on"] = draw(st.sampled_from(["c.txt", "my c.txt", "a,b", "7", "off", "#x"]))
    if verb == "grow" and draw(st.booleans()):
        fields["steps"] = draw(sizes)
    if verb == "upcycle":
        grown = (("experts", None, draw(sizes), None),)
    elif verb == "grow":
        grown = tuple(draw(st.lists(growths(sized=True), min_size=1, max_size=3, unique_by=lambda g: g[0])))
    else:
        grown = (draw(growths()),)
    options = draw(st.dictionaries(st.sampled_from(KEYS), values, max_size=3))
    return StepSpec(verb, grown, tuple(fields.items()), tuple(options.items()))


@st.composite
def plans(draw: st.DrawFn) -> tuple[dict[str, Value], list[StepSpec]]:
    paths = st.sampled_from(["./m", "../my model", "a#b", "off", "12", 'q"', "x: y", "[z", "a,b"])
    headers: dict[str, Value] = draw(
        st.fixed_dictionaries(
            {},
            optional={"source": paths, "target": paths, "family": paths, "seed": st.integers(0, 2**64 - 1)},
        )
    )
    count = draw(st.integers(1, 4))
    return headers, [draw(steps(index)) for index in range(count)]


def dsl_value(value: Value) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return json.dumps(value)


def dsl(headers: dict[str, Value], specs: list[StepSpec]) -> str:
    """The plan in the DSL, everything quoted that may be."""
    return (
        "\n".join([*(f"{key} {dsl_value(value)}" for key, value in headers.items()), *map(dsl_step, specs)])
        + "\n"
    )


def dsl_step(spec: StepSpec) -> str:
    fields = dict(spec.fields)
    if spec.verb == "upcycle":
        text = f"upcycle ffn to {spec.growths[0][2]} experts"
    else:
        text = f"{spec.verb} " + ", ".join(axis + size(old, to, by) for axis, old, to, by in spec.growths)
    text += f" via {fields['via']}" if "via" in fields else ""
    text += f" over {fields['over']}" if "over" in fields else ""
    text += f" on {dsl_value(fields['on'])}" if "on" in fields else ""
    text += f" for {fields['steps']} steps" if "steps" in fields else ""
    text += "".join(f" , {key}  {dsl_value(value)}" for key, value in spec.options)
    text += f", expect {fields['expect']}" if "expect" in fields else ""
    return (f"{fields['id']} : " if "id" in fields else "") + text


def size(old: int | None, to: int | None, by: int | None) -> str:
    if to is None and by is None:
        return ""
    before = "" if old is None else f" {old}"
    return f"{before} x{by}" if by else f"{before} -> {to}"


def yaml_value(value: Value) -> str:
    """JSON, with `${` escaped."""
    return json.dumps(value, ensure_ascii=False).replace("${", "$${")


def yaml(headers: dict[str, Value], specs: list[StepSpec]) -> str:
    """The plan as YAML with every step a mapping."""
    lines = [f"{key}: {yaml_value(value)}" for key, value in headers.items()]
    return (
        "\n".join(["growplan: 1", *lines, "steps:", *(f"- {{{', '.join(pairs(spec))}}}" for spec in specs)])
        + "\n"
    )


def pairs(spec: StepSpec) -> list[str]:
    fields = dict(spec.fields)
    if spec.verb == "grow":
        inner = ", ".join(f"{axis}: {size(old, to, by).strip()}" for axis, old, to, by in spec.growths)
        found = [f"grow: {{{inner}}}"]
    elif spec.verb == "upcycle":
        found = ["upcycle: ffn", f"experts: {spec.growths[0][2]}"]
    else:
        axis, old, to, by = spec.growths[0]
        found = [f"{spec.verb}: {axis}"]
        found += [f"{key}: {n}" for key, n in (("from", old), ("to", to), ("by", by)) if n is not None]
    found += [f"{'data' if key == 'on' else key}: {yaml_value(value)}" for key, value in fields.items()]
    return found + [f"{key}: {yaml_value(value)}" for key, value in spec.options]
