"""The gradients of a grown model in terms of those before a step: flows walked back through the op graph.

The statements of a family are walked once over maps, which leaves a record of who reads what; then the
record is walked back, from the outputs to the inputs, with the rules of `growplan.check.flows`. The
block is walked until the flow at its input is the one at its output: one block stands for all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from growplan.algebra import Expansion, Run
from growplan.check import flows, head_flows
from growplan.check.flows import Flow
from growplan.check.roles import ROLES, attention_roles
from growplan.check.rules import aligned
from growplan.check.typed import ModuleTyping, ParamRewrite, TypedStep
from growplan.families.model import AxisExpr, Module
from growplan.families.walk import run

Back = Callable[[Flow], Flow]
WIDER = "the loss reads an output that is wider than before"
USES = "its two uses, as an embedding and as the head, want different parts"


@dataclass(eq=False)
class Value:
    """An activation of the walk: its map, and how its flow reaches what it was made from.

    `e` is None for inputs that are no activations. `parts`: the summands of a fused projection, whose
    flows together are that of the whole.
    """

    e: Expansion | None
    axis: AxisExpr | None = None
    makers: tuple[tuple[Value, Back], ...] = ()
    parts: list[Value] = field(default_factory=list)

    @property
    def map(self) -> Expansion:
        assert self.e is not None
        return self.e


@dataclass(frozen=True)
class Share:
    """What reaches one parameter of the gradient before the step.

    A row i that is c times the old row j gets w_i / c of that one's gradient: `rows` holds the w_i,
    which over the copies of a unit add up to 1; `zero` rows get none, of `hole` rows nothing is known.
    A column that reads c times what the old one read gets c of its gradient: `cols` holds these c.
    `why`: why `rows` are an estimate; empty where they are not.
    """

    rows: Expansion
    cols: Expansion | None
    why: str = ""


Shares = Mapping[tuple[str, str], Share]


def shares(step: TypedStep) -> Shares:
    """What reaches each parameter, by (module, leaf), layers folded; of a width step."""
    walk = _Walk(step)
    flow = walk.back()
    found: dict[tuple[str, str], Share] = {}
    for rewrite in step.rewrites:
        outs = [flow[value] for value in walk.made.get(rewrite.module, ()) if value in flow]
        typing = walk.typings.get(rewrite.module)
        if not outs or typing is None:
            continue
        own = walk.of_parameter(
            rewrite.module, outs[0] if len(outs) == 1 else flows.joined(outs, typing.e_out)
        )
        found[rewrite.module, rewrite.leaf] = _share(rewrite, typing, own)
    return found


def _share(rewrite: ParamRewrite, typing: ModuleTyping, flow: Flow) -> Share:
    """The parts w = b c: of what copy i writes, c times its unit, the gradient is b of that unit's."""
    e = typing.e_out
    runs: list[Run] = []
    for b, c in aligned(flow.estimated(e).map, e):
        runs.append(Run("copy", b.count, b.start, b.c * c.c) if b.kind == c.kind == "copy" else _empty(b))
    cols = None if rewrite.cols is None else rewrite.cols.map_kind("free", "hole").map_kind("mean", "hole")
    return Share(Expansion(e.old, tuple(runs)), cols, flow.why)


def _empty(b: Run) -> Run:
    return Run("zero" if b.kind == "zero" else "hole", b.count)


class _Walk:
    """`families.walk.Ops` over maps, with a record of what each value was made from."""

    def __init__(self, step: TypedStep) -> None:
        self.step, self.model, self.maps = step, step.before, step.maps
        self.typings = {t.module.name: t for t in step.typings if not t.tied}
        self.rewrites = {(r.module, r.leaf): r for r in step.rewrites}
        self.roles = attention_roles(step.before)
        self.values: list[Value] = []
        self.made: dict[str, list[Value]] = {}  # module -> what it put out
        self.heads_of: dict[str, Value] = {}  # embedding -> what a tied head multiplies it by
        env = {name: self._value(None) for name in ("ids", "positions", "types", "pixels", "mask")}
        model = self.model
        env = run(model.embed, env, model.modules, self)
        self.start, embedded = self._value(env["x"].e), env["x"]
        self.embedded = embedded
        self.marks = [len(self.values)]
        env = run(model.block, {**env, "x": self.start}, model.modules, self)
        self.end = env["x"]
        self.marks.append(len(self.values))
        self.stream = self._value(self.end.e)
        env = run(model.head_stmts, {**env, "x": self.stream}, model.modules, self)
        self.outputs = [env[name] for name in model.outputs]

    # back ---------------------------------------------------------------------------------------

    def back(self) -> dict[Value, Flow]:
        """The flow at every value that the loss depends on."""
        embed, block = self.marks
        seeds = {value: flows.estimate(value.map, WIDER) for value in self.outputs}
        found = self._pass(self.values[block:], seeds)
        at = found.get(self.stream, flows.identity(self.stream.map.size))
        while True:
            inside = self._pass(self.values[embed - 1 : block], {self.end: at})
            through = inside[self.start]
            if through == at:
                break
            at = flows.joined([at, through], self.start.map)
        found |= inside
        return found | self._pass(self.values[: embed - 1], {self.embedded: inside[self.start]})

    def _pass(self, values: Sequence[Value], seeds: Mapping[Value, Flow]) -> dict[Value, Flow]:
        arrived: dict[Value, list[Flow]] = {value: [flow] for value, flow in seeds.items()}
        found: dict[Value, Flow] = {}
        for value in reversed(values):
            given = arrived.get(value, [])
            if value.parts and all(part in found for part in value.parts):
                given = [*given, _whole([found[part] for part in value.parts])]
            if not given or value.e is None:
                continue
            found[value] = flow = self._settled(value, given)
            for maker, rule in value.makers:
                if maker.e is not None:
                    arrived.setdefault(maker, []).append(rule(flow))
        return found

    def _settled(self, value: Value, given: Sequence[Flow]) -> Flow:
        """The flow of a value: where its units are the old ones, E^T g* = g leaves nothing open."""
        if value.map.is_identity:
            return flows.identity(value.map.size)
        return flows.joined(given, value.map)

    def of_parameter(self, module: str, flow: Flow) -> Flow:
        """The flow at a module's output, as its tensors see it."""
        if module in self.roles.norms:  # one scale for all heads, whose parts add up to 1
            own = self.typings[module].e_out
            even = flows.estimate(own, flow.why)
            return flows.identity(own.size) if own.is_identity else even
        if module not in self.heads_of or not flow.exact:
            return flow
        read = self.heads_of[module].map
        agree = all(h.c == b.c for h, b in aligned(read, flow.map) if h.kind == b.kind == "copy")
        lost = any(h.kind != "copy" and b.kind == "copy" for h, b in aligned(read, flow.map))
        return flow if agree and not lost else flows.estimate(self.typings[module].e_out, USES)

    # forth --------------------------------------------------------------------------------------

    def _value(self, e: Expansion | None, axis: AxisExpr | None = None, *makers: tuple[Value, Back]) -> Value:
        value = Value(e, axis, makers)
        self.values.append(value)
        return value

    def module(self, module: Module, x: Value) -> Value:
        typing = self.typings.get(module.name)
        if typing is None:
            same = module.outs.expansion({}, self.model.sizes)
            typing = ModuleTyping(module, x.e, same)
        if module.kind == "bias":
            value = self._value(x.e, module.outs, (x, lambda flow: flow))
        elif module.is_norm:
            value = self._norm(module, typing, x)
        else:
            value = self._value(typing.e_out, module.outs, (x, lambda flow: self._read(module, typing, flow)))
        self.made.setdefault(module.name, []).append(value)
        return value

    def _read(self, module: Module, typing: ModuleTyping, flow: Flow) -> Flow:
        assert typing.e_in is not None
        rewrite = self.rewrites.get((module.name, "weight"))
        if rewrite is None:
            return flows.identity(typing.e_in.size)
        return flows.read(typing.e_in, rewrite.shares, rewrite.has_noise, typing.e_out, flow)

    def _norm(self, module: Module, typing: ModuleTyping, x: Value) -> Value:
        assert typing.e_in is not None
        e_in, e_out, centred = x.map, typing.e_out, module.kind == "layernorm"
        if module.name not in self.roles.norms:
            return self._value(e_out, module.outs, (x, lambda flow: flows.norm(e_in, e_out, centred, flow)))
        heads = self._units(x)
        inner = typing.e_in
        return self._value(
            heads * e_out, x.axis, (x, lambda flow: head_flows.each_head(heads, inner, e_out, flow))
        )

    def _units(self, x: Value) -> Expansion:
        assert x.axis is not None
        return AxisExpr((x.axis.terms[0][:-1],)).expansion(self.maps, self.model.sizes)

    def add(self, a: Value, b: Value) -> Value:
        return self._value(a.e, a.axis, (a, lambda flow: flow), (b, lambda flow: flow))

    def mul(self, a: Value, b: Value) -> Value:
        runs = tuple(
            Run("copy", x.count, x.start, x.c * y.c)
            if x.kind == y.kind == "copy"
            else Run("zero" if "zero" in (x.kind, y.kind) else "free", x.count)
            for x, y in aligned(a.map, b.map)
        )
        e = Expansion(a.map.old, runs)
        return self._value(
            e,
            a.axis,
            (a, lambda flow: flows.factor(b.map, a.map, flow)),
            (b, lambda flow: flows.factor(a.map, b.map, flow)),
        )

    def split(self, x: Value, module: Module, parts: int) -> Sequence[Value]:
        begin = unit = 0
        for axis in module.outs.split():
            size, units = axis.size(self.step.after.sizes), axis.size(self.model.sizes)
            part = self._value(flows.cut(x.map, begin, begin + size, unit, units), axis)
            x.parts.append(part)
            begin, unit = begin + size, unit + units
        return x.parts

    def op(self, name: str, args: Sequence[Value | Module], kwargs: Mapping[str, Any]) -> Value:
        values = [arg for arg in args if isinstance(arg, Value)]
        first = args[0]
        if name == "tied":
            assert isinstance(first, Module) and first.ins is not None
            return self._tied(first, values[0])
        if name == "prepend":
            assert isinstance(first, Module)
            token = self._value(values[0].e, first.outs)
            self.made.setdefault(first.name, []).append(token)
            return self.add(token, values[0])
        if name == "average":
            return self.add(*values)
        if name == "attention":
            return self._attention(*values)
        if name == "route":
            scores, z = values
            router = (scores, lambda flow: flows.estimate(scores.map, "how the router weighs its experts"))
            return self._value(z.e, z.axis, (z, lambda flow: flow), router)
        return self._value(values[0].e, values[0].axis, (values[0], lambda flow: flow))

    def _tied(self, embedding: Module, x: Value) -> Value:
        assert embedding.ins is not None
        self.heads_of[embedding.name] = x
        e = self.typings[embedding.name].e_out
        vocab = embedding.ins.expansion(self.maps, self.model.sizes)
        return self._value(vocab, embedding.ins, (x, lambda flow: flows.tied(e, x.map)))

    def _attention(self, q: Value, k: Value, v: Value) -> Value:
        sizes, maps = self.model.sizes, self.maps
        kv_axis = "kv_heads" if k.axis is not None and "kv_heads" in k.axis.axes else "heads"
        heads, kv = (maps.get(a) or Expansion.identity(sizes[a]) for a in ("heads", kv_axis))
        dims = tuple(self._one_head(value, units) for value, units in ((q, heads), (k, kv), (v, kv)))

        def at(index: int) -> Back:
            return lambda flow: head_flows.attention(heads, kv, dims, flow)[index]  # type: ignore[arg-type]

        makers = tuple((value, at(i)) for i, value in enumerate((q, k, v)))
        return self._value(heads * dims[ROLES.index("v")], q.axis, *makers)

    def _one_head(self, value: Value, units: Expansion) -> Expansion:
        """The map of one head, from that of all of them: a copied head's, its unit taken off."""
        size = value.map.size // units.size
        old = value.map.old // units.old
        for i, row in enumerate(units.rows()):
            if row.kind == "copy":
                return flows.cut(value.map, i * size, (i + 1) * size, row.unit * old, old)
        return Expansion.identity(old)


def _whole(parts: Sequence[Flow]) -> Flow:
    why = next((part.why for part in parts if not part.exact), "")
    return Flow(reduce(add, [part.map for part in parts]), why)
