"""What a family file means: axes, modules, an op graph, and a model bound to one config.

`Family` is the data file as values. `Family` + a config.json = `Model`: concrete sizes, the
head in use, tensor names on disk. Both are plain data: the checker, the lowering, the cost
model and the probe interpreter all walk the same statements (`growplan.families.walk`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from growplan.algebra import Expansion
from growplan.families.graph import Add, Assign, Call, Const, Expr, ModuleRef, Mul, Name, names_read
from growplan.families.modules import NORMS, AxisExpr, Module, ModuleKind, Param
from growplan.families.window import Window, layer_windows

__all__ = [
    "NORMS",
    "Add",
    "Assign",
    "AxisExpr",
    "Call",
    "Const",
    "Expr",
    "Family",
    "HeadClass",
    "Input",
    "Model",
    "Module",
    "ModuleKind",
    "ModuleRef",
    "Mul",
    "Name",
    "Param",
    "SizeRule",
    "names_read",
]

Input = Literal["text", "image"]


@dataclass(frozen=True)
class SizeRule:
    """Where an axis' size comes from: a config key, a default expression, or a derived value."""

    axis: str
    key: str | None  # None: derived only
    default: str | None  # expression over other axes when the key is absent or null
    also: tuple[str, ...] = ()  # keys read when `key` is absent, never written
    length: bool = False  # the size is the length of the value (id2label); never written
    sparing: bool = False  # a key few configs have: written only where the default is another size


@dataclass(frozen=True)
class HeadClass:
    """A transformers class this family can be saved as."""

    architecture: str
    prefix: str  # what that class writes before base-model tensors
    head: str  # keys of Family.heads: `mlm`, or `mlm + relation` for both


@dataclass(frozen=True)
class Family:
    """A family file as values; `bind` (in `growplan.families.bind`) makes a `Model`."""

    name: str
    path: str
    requires: Mapping[str, tuple[Any, ...]]  # config key -> allowed values
    sizes: tuple[SizeRule, ...]
    equations: tuple[tuple[str, str], ...]  # (left, right) expressions
    constraints: tuple[tuple[str, str], ...]  # (dividend, divisor): must divide
    keeps: tuple[tuple[str, str], ...]  # equations in force when true in the source
    closes: tuple[tuple[str, str], ...]  # (axis, expression), tried in order
    modules: tuple[Module, ...]
    embed: tuple[Assign, ...]
    block: tuple[Assign, ...]
    heads: Mapping[str, tuple[Assign, ...]]
    classes: tuple[HeadClass, ...]
    layers: str  # "h.{i}."
    outside: tuple[str, ...]  # module-name prefixes never under the class prefix
    carried: tuple[str, ...]  # config keys kept as they are
    buffers: tuple[str, ...]  # regexes of tensors carried or dropped (position_ids, masks)
    aliases: Mapping[str, str] = field(default_factory=dict)  # config key or word -> axis
    defaults: Mapping[str, Any] = field(default_factory=dict)  # what transformers assumes if absent
    act: str | None = None  # config key that names the operation `act`
    copies: Mapping[str, str] = field(default_factory=dict)  # tensor -> the one it repeats if tied
    input: Input = "text"  # what `embed` starts from: token ids, or pixels
    layer_lists: tuple[str, ...] = ()  # config keys whose value, if a list, has an entry per layer
    window: Window | None = None  # where the config says how far back attention sees
    upcycles: tuple[str, ...] = ()  # dense families that become this mixture
    dense: Mapping[str, str] = field(default_factory=dict)  # module of an expert -> module of theirs


@dataclass(frozen=True)
class Model:
    """A family bound to a config: sizes, active modules and statements, names on disk.

    `twins` is what a plan's growth so far makes sure of: for every input of the model, the
    activations over an axis are T z for some z, T the axis' entry (units that copy one row of it
    are equal; an axis without an entry may hold anything). Training ends it.

    `read_units` and `bypassed` are what growth masks of 0 hide while the runtime's hooks are attached:
    norms over the stream weigh its first `read_units` units alone, and give 0 for the others; a
    bypassed layer returns its input.
    """

    family: Family
    config: Mapping[str, Any]
    sizes: Mapping[str, int]
    architecture: str
    head: str
    prefix: str
    tied: bool
    modules: Mapping[str, Module]  # active ones only, bias resolved
    embed: tuple[Assign, ...]
    block: tuple[Assign, ...]
    head_stmts: tuple[Assign, ...]
    dtype: str = "F32"  # safetensors name
    extra_tensors: tuple[str, ...] = ()  # buffers on disk, carried as they are
    dropped: tuple[str, ...] = ()  # stored copies of a tied tensor, not written again
    twins: Mapping[str, Expansion] = field(default_factory=dict)  # axis -> which units are equal: see below
    read_units: int | None = None  # units of the stream before the masked ones; None: none is masked
    bypassed: frozenset[int] = frozenset()  # layers behind a mask

    @property
    def depth(self) -> int:
        return self.sizes["depth"]

    @property
    def inputs(self) -> Input:
        """Whether the model reads token ids or pixels."""
        return self.family.input

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The values a head gives: assigned, and not read by a later statement of the head."""
        live = [s for s in self.head_stmts if not s.targets[0].startswith("_")]
        targets = [t for s in live for t in s.targets]
        read = {name for s in live for name in names_read(s.value)}
        return tuple(t for t in dict.fromkeys(targets) if t not in read)

    def resized(self, sizes: Mapping[str, int], config: Mapping[str, Any]) -> Model:
        """The same architecture at other sizes with an edited config."""
        return replace(self, sizes=dict(sizes), config=dict(config))

    @cached_property
    def windows(self) -> tuple[int | None, ...]:
        """Tokens that each layer's attention sees, the own one included; None is all before it."""
        return layer_windows(self.family.window, self.config, self.depth)

    def eps(self, module: Module) -> float:
        """A norm's epsilon: the config's, or the one in the code of the model."""
        if module.eps is not None:
            return float(self.config[module.eps])
        assert module.fixed_eps is not None
        return module.fixed_eps

    def tensor_name(self, param: Param, layer: int | None = None) -> str:
        """The name on disk, prefix included."""
        name = param.name if layer is None else param.name.replace("{i}", str(layer))
        outside = any(name == o or name.startswith(o + ".") for o in self.family.outside)
        return name if outside else self.prefix + name

    def params(self) -> Iterator[Param]:
        """Every parameter once, layers and experts folded."""
        for module in self.modules.values():
            yield from module.params

    def shape(self, param: Param) -> tuple[int, ...]:
        return tuple(axis.size(self.sizes) for axis in param.stored)

    def copies(self, param: Param) -> int:
        """How many tensors a parameter stands for."""
        layers = self.depth if param.in_layer else 1
        return layers * (self.sizes["experts"] if param.in_expert else 1)

    def of_experts(self, param: Param) -> tuple[Param, ...]:
        """The parameter of each expert; itself where all tokens pass it."""
        if not param.in_expert:
            return (param,)
        return tuple(param.of_expert(e) for e in range(self.sizes["experts"]))

    def tensors(self) -> Iterator[tuple[str, Param, int | None]]:
        """Every tensor on disk: (name, parameter, layer); a parameter of each expert stands alone."""
        for folded in self.params():
            for param in self.of_experts(folded):
                for layer in range(self.depth) if param.in_layer else (None,):
                    yield self.tensor_name(param, layer), param, layer
