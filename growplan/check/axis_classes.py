"""Which dimensions of a model's tensors are one and the same axis: they share one width operator.

The op graph is walked over *spaces*. A module puts out a space of its own; a residual sum, a gate and
a tied head make two spaces one; norms, biases and activations pass theirs on. What is left are the
classes that LiGO's table of ties names (arXiv 2303.00980), found without the name of any family:

    stream      the residual stream: one for the whole model
    q, k, v     what attention reads, by role; its output is in v's space, or in `o` where query
                heads and value heads differ in number
    ffn         inside the ffn: a gate, what it gates, and what the down projection reads
    MODULE      anything else, by the module that puts it out: a pooler, the transform of a head
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from growplan.families.axes import ONE_HEAD
from growplan.families.model import Call, Model, Module
from growplan.families.walk import run, subexpressions

STREAM = "stream"
ROLES = ("q", "k", "v")
Part = tuple[str, int]  # module, summand of what it puts out


@dataclass(frozen=True)
class AxisClass:
    """A class of axes: its name, and whether each layer has one of its own."""

    name: str
    in_layer: bool = False


@dataclass(frozen=True)
class AxisClasses:
    """The class of what each module puts out, part by part, and of what it reads."""

    outs: Mapping[Part, AxisClass]
    ins: Mapping[str, AxisClass]
    whole_heads: bool  # rotary positions or norms over single heads: heads are not to be mixed


def axis_classes(model: Model, separate_output: bool) -> AxisClasses:
    """The classes of a model. `separate_output`: attention's output is no space of the values."""
    ops = _Spaces(separate_output)
    inputs: dict[str, _Space] = {n: _Space() for n in ("ids", "positions", "types", "pixels", "mask")}
    env = run(model.embed, inputs, model.modules, ops)
    env["x"].called(STREAM)
    after = run(model.block, env, model.modules, ops)
    ops.add(env["x"], after["x"])
    run(model.head_stmts, after, model.modules, ops)
    return AxisClasses(
        {part: space.settled() for part, space in ops.outs.items()},
        {module: space.settled() for module, space in ops.ins.items()},
        whole_heads(model),
    )


def whole_heads(model: Model) -> bool:
    """Whether positions are rotary, or norms stand over single heads: then heads are not to be mixed."""
    calls = (e for s in model.block for e in subexpressions(s.value) if isinstance(e, Call))
    return any(
        e.fn == "rope" or (e.fn in model.modules and model.modules[e.fn].outs == ONE_HEAD) for e in calls
    )


@dataclass(eq=False)
class _Space:
    """A space, or the one that it was found to be."""

    name: str = ""
    in_layer: bool = False
    is_: _Space | None = None

    def root(self) -> _Space:
        return self if self.is_ is None else self.is_.root()

    def joined(self, other: _Space) -> _Space:
        """Both are one; a role's name is kept, and the one outside layers wins."""
        first, second = self.root(), other.root()
        if first is second:
            return first
        if second.rank > first.rank:
            first, second = second, first
        second.is_ = first
        return first

    @property
    def rank(self) -> int:
        named = {STREAM: 3, "q": 2, "k": 2, "v": 2}
        return named.get(self.name, 1 if self.name else 0)

    def called(self, name: str) -> None:
        """The space gets the name of a role, unless it is the stream."""
        if self.root().name != STREAM:
            self.root().name = name

    def settled(self) -> AxisClass:
        space = self.root()
        return AxisClass(space.name, space.in_layer and space.name != STREAM)


@dataclass
class _Spaces:
    """`families.walk.Ops` over spaces."""

    separate_output: bool
    outs: dict[Part, _Space] = field(default_factory=dict)
    ins: dict[str, _Space] = field(default_factory=dict)

    def module(self, module: Module, x: _Space) -> _Space:
        if module.is_norm or module.kind == "bias":
            self.outs[module.name, 0] = x
            return x
        if module.kind != "embedding" and module.ins is not None:
            self.ins[module.name] = self.ins[module.name].joined(x) if module.name in self.ins else x
        parts = [self._out(module, i) for i in range(len(module.outs.terms))]
        return parts[0]

    def _out(self, module: Module, index: int) -> _Space:
        name = module.name
        if module.in_layer:
            axes = module.outs.terms[index]
            name = str(axes[0]) if len(axes) == 1 else module.name
        return self.outs.setdefault((module.name, index), _Space(name, module.in_layer))

    def split(self, x: _Space, module: Module, parts: int) -> Sequence[_Space]:
        return [self._out(module, i) for i in range(parts)]

    def add(self, a: _Space, b: _Space) -> _Space:
        return a.joined(b)

    def mul(self, a: _Space, b: _Space) -> _Space:
        return a.joined(b)

    def op(self, name: str, args: Sequence[_Space | Module], kwargs: Mapping[str, Any]) -> _Space:
        spaces = [self._out(a, 0) if isinstance(a, Module) else a for a in args]
        if name == "attention":
            for role, space in zip(ROLES, spaces, strict=True):
                space.called(role)
            return _Space("o", in_layer=True) if self.separate_output else spaces[2]
        if name == "tied":
            spaces[0].joined(spaces[1])
            return _Space()
        if name == "route":
            return spaces[1]
        first, *others = spaces
        for other in others:
            first = first.joined(other)
        return first
