"""Random plans, as values from which both spellings are written independently of the package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class TrainSpec:
    """The content of a `train`: its data, its length, its options."""

    on: str | None
    length: tuple[int, str] | None  # (300, "steps")
    options: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class StageSpec:
    """The content of a stage."""

    name: str
    steps: tuple[StepSpec, ...]
    train: TrainSpec | None
    parts: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class PlanSpec:
    """The content of a plan: steps, or stages (then perhaps a `train`)."""

    headers: dict[str, Value]
    steps: tuple[StepSpec, ...] = ()
    train: TrainSpec | None = None
    stages: tuple[StageSpec, ...] = ()


PARTS = ["new-layers", "top 3", "layers 0:12", "embeddings", "head", "*.attn.*", "h.?.[ab].x"]


@st.composite
def trains(draw: st.DrawFn) -> TrainSpec:
    length = draw(st.none() | st.tuples(st.integers(1, 10**12), st.sampled_from(["steps", "tokens"])))
    on = draw(st.none() | st.sampled_from(["c.txt", "my c.txt", "a,b", "7", "off", "#x", "for", "x: y"]))
    options = draw(st.dictionaries(st.sampled_from([*KEYS, "lr", "tokens"]), values, max_size=3))
    if isinstance(options.get("tokens"), str):
        del options["tokens"]
    return TrainSpec(on, length, tuple(options.items()))


@st.composite
def stages(draw: st.DrawFn, index: int, trained: bool) -> StageSpec:
    """A stage; `trained`: the plan's own training has a length."""
    train = draw(st.none() | trains())
    keys = st.sampled_from(["freeze", "train-only"])
    words = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3, unique=True).map(tuple)
    parts = draw(st.dictionaries(keys, words)) if train or trained else {}
    grown = draw(st.lists(steps(index * 10), max_size=1))
    return StageSpec(
        draw(st.sampled_from(["a", "w-", "wide_"])) + str(index), tuple(grown), train, tuple(parts.items())
    )


@st.composite
def plans(draw: st.DrawFn) -> PlanSpec:
    paths = st.sampled_from(["./m", "../my model", "a#b", "off", "12", 'q"', "x: y", "[z", "a,b"])
    headers: dict[str, Value] = draw(
        st.fixed_dictionaries(
            {},
            optional={"source": paths, "target": paths, "family": paths, "seed": st.integers(0, 2**64 - 1)},
        )
    )
    count = range(draw(st.integers(1, 4)))
    if draw(st.booleans()):
        return PlanSpec(headers, tuple(draw(steps(index)) for index in count))
    train = draw(st.none() | trains())
    trained = train is not None and train.length is not None
    return PlanSpec(headers, (), train, tuple(draw(stages(index, trained)) for index in count))


def dsl_value(value: Value) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return json.dumps(value)


def dsl(plan: PlanSpec) -> str:
    """The plan in the DSL, everything quoted that may be."""
    lines = [f"{key} {dsl_value(value)}" for key, value in plan.headers.items()]
    lines += [dsl_train(plan.train)] if plan.train else []
    lines += map(dsl_step, plan.steps)
    for stage in plan.stages:
        lines += [f"stage {stage.name}", *map(dsl_step, stage.steps)]
        lines += [f"{key}  " + " , ".join(map(dsl_value, words)) for key, words in stage.parts]
        lines += [dsl_train(stage.train)] if stage.train else []
    return "\n".join(lines) + "\n"


def dsl_train(train: TrainSpec) -> str:
    clauses = [f"{key} {dsl_value(value)}" for key, value in train.options]
    clauses += [f"on {dsl_value(train.on)}"] if train.on is not None else []
    clauses += [f"for  {train.length[0]} {train.length[1]}"] if train.length else []
    return "train  " + " , ".join(clauses)


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


def yaml(plan: PlanSpec) -> str:
    """The plan as YAML with every step a mapping."""
    lines = ["growplan: 1", *(f"{key}: {yaml_value(value)}" for key, value in plan.headers.items())]
    if plan.stages:
        lines += ["stages:", *(f"- {yaml_stage(stage)}" for stage in plan.stages)]
    else:
        lines += ["steps:", *(f"- {{{', '.join(pairs(spec))}}}" for spec in plan.steps)]
    lines += [f"train: {yaml_train(plan.train)}"] if plan.train else []
    return "\n".join(lines) + "\n"


def yaml_stage(stage: StageSpec) -> str:
    """A stage, on one line, or as a block where its name has an underscore."""
    keys = [f"{key}: {json.dumps(list(words))}" for key, words in stage.parts]
    keys += [f"train: {yaml_train(stage.train)}"] if stage.train else []
    steps = [f"{{{', '.join(pairs(spec))}}}" for spec in stage.steps]
    if "_" in stage.name:
        block = [f"name: {stage.name}", *keys, *(["steps:"] if steps else []), *(f"- {s}" for s in steps)]
        return "\n  ".join(block)
    return "{" + ", ".join([*keys, f"name: {stage.name}", f"steps: [{', '.join(steps)}]"]) + "}"


def yaml_train(train: TrainSpec) -> str:
    keys: list[tuple[str, Any]] = [*train.options]
    keys += [("for", f"{train.length[0]} {train.length[1]}")] if train.length else []
    keys += [("data", train.on)] if train.on is not None else []
    return "{" + ", ".join(f"{key}: {yaml_value(value)}" for key, value in keys) + "}"


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
