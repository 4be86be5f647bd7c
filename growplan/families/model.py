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
from growplan.families.window import Window, layer_windows

# `bias`: adds one stored vector (BERT's decoder bias), nothing else; `patches`: a linear over the
# pixels of a patch, stored as a convolution; `parameter`: a tensor without a module around it
ModuleKind = Literal["linear", "embedding", "layernorm", "rmsnorm", "bias", "patches", "parameter"]
Input = Literal["text", "image"]
NORMS: tuple[ModuleKind, ...] = ("layernorm", "rmsnorm")


@dataclass(frozen=True)
class AxisExpr:
    """A sum of products of axis names and integers: `heads*head_dim + heads*head_dim`, `2`."""

    terms: tuple[tuple[str | int, ...], ...]

    def size(self, sizes: Mapping[str, int]) -> int:
        """The number of units under `sizes`."""
        return sum(_product(f if isinstance(f, int) else sizes[f] for f in term) for term in self.terms)

    def expansion(self, maps: Mapping[str, Expansion], sizes: Mapping[str, int]) -> Expansion:
        """E of the expression: E(a*b) = E(a) (x) E(b), E(a+b) = E(a) (+) E(b)."""
        total: Expansion | None = None
        for term in self.terms:
            part = self._term_expansion(term, maps, sizes)
            total = part if total is None else total + part
        assert total is not None
        return total

    @staticmethod
    def _term_expansion(
        term: tuple[str | int, ...], maps: Mapping[str, Expansion], sizes: Mapping[str, int]
    ) -> Expansion:
        out: Expansion | None = None
        for factor in term:
            if isinstance(factor, int):
                e = Expansion.identity(factor)
            else:
                e = maps.get(factor) or Expansion.identity(sizes[factor])
            out = e if out is None else out * e
        assert out is not None
        return out

    def split(self) -> tuple[AxisExpr, ...]:
        """The summands, one expression each (the parts of a fused projection)."""
        return tuple(AxisExpr((term,)) for term in self.terms)

    @property
    def axes(self) -> frozenset[str]:
        return frozenset(f for term in self.terms for f in term if isinstance(f, str))

    def __str__(self) -> str:
        return " + ".join("*".join(map(str, term)) for term in self.terms)


def _product(values: Iterator[int]) -> int:
    out = 1
    for value in values:
        out *= value
    return out


@dataclass(frozen=True)
class Param:
    """One tensor of a module. `rows` is the axis it writes, `cols` the axis it reads.

    Shapes on disk: linear out-in `[rows, cols]`, linear in-out `[cols, rows]`,
    embedding `[cols, rows]` (vocab x hidden), norms and biases `[rows]`; `stored` says it of any.
    """

    module: str
    leaf: Literal["weight", "bias"]
    rows: AxisExpr
    cols: AxisExpr | None
    row_dim: int
    in_layer: bool
    name: str  # on disk, without prefix; `{i}` where the layer goes, `{e}` where the expert goes
    ones: int = 0  # dims of one before the axes: 2 in a class token [1, 1, hidden]
    unfolded: bool = False  # one dim for each factor of `cols`: a convolution [hidden, channels, p, p]
    in_expert: bool = False  # one tensor for each expert
    expert: int | None = None  # whose it is, where the experts are told apart

    @property
    def col_dim(self) -> int:
        return 2 * self.ones + 1 - self.row_dim

    @cached_property
    def stored(self) -> tuple[AxisExpr, ...]:
        """The axis of every dimension on disk."""
        ones = (AxisExpr(((1,),)),) * self.ones
        if self.cols is None:
            return (*ones, self.rows)
        if self.unfolded:
            return (self.rows, *(AxisExpr(((factor,),)) for factor in self.cols.terms[0]))
        matrix = (self.rows, self.cols)
        return (*ones, *(matrix if self.row_dim == self.ones else matrix[::-1]))

    def of_expert(self, expert: int) -> Param:
        """The parameter of one expert."""
        return replace(self, name=self.name.replace("{e}", str(expert)), expert=expert)


@dataclass(frozen=True)
class Module:
    """A module of the family: its kind, axes, and storage facts."""

    name: str  # as written in the op graph: `h.attn.c_attn`
    kind: ModuleKind
    ins: AxisExpr | None  # None for norms and biases
    outs: AxisExpr
    bias: bool = False  # resolved against the config in a Model
    stored: Literal["out-in", "in-out"] = "out-in"
    eps: str | None = None  # config key of a norm's epsilon
    fixed_eps: float | None = None  # where no key holds it
    in_layer: bool = False
    in_expert: bool = False  # every expert has its own
    disk: str = ""  # name on disk, `{i}` where the layer goes (and `{e}` the expert), without the prefix
    bias_when: str | None = None  # config key that decides the bias
    weight_leaf: bool = True  # False: a bare parameter, stored under `disk` itself
    leaf_names: tuple[str, str] = ("weight", "bias")  # ("gamma", "beta") in old BERT checkpoints
    when: tuple[str, bool] | None = None  # (config key, truth): else the module is the identity
    ones: int = 0  # of a bare parameter: dims of one before its axes

    @property
    def is_norm(self) -> bool:
        return self.kind in NORMS

    @cached_property
    def params(self) -> tuple[Param, ...]:
        weight_leaf, bias_leaf = self.leaf_names
        bias = Param(self.name, "bias", self.outs, None, 0, self.in_layer, f"{self.disk}.{bias_leaf}")
        if self.kind == "bias":
            return (bias,)
        last = self.kind in ("embedding", "parameter") or self.stored == "in-out"
        row_dim = self.ones + (1 if last and self.ins is not None else 0)
        name = f"{self.disk}.{weight_leaf}" if self.weight_leaf else self.disk
        unfolded = self.kind == "patches"
        weight = Param(
            self.name, "weight", self.outs, self.ins, row_dim, self.in_layer, name, self.ones, unfolded
        )
        found = (weight, bias) if self.bias else (weight,)
        return tuple(replace(param, in_expert=True) for param in found) if self.in_expert else found


# the op graph: parsed expressions --------------------------------------------------------------


@dataclass(frozen=True)
class Name:
    """A value (`x`, `ids`, `q`)."""

    id: str


@dataclass(frozen=True)
class ModuleRef:
    """A module used as a value, e.g. the embedding in `tied(wte, ...)`."""

    module: str


@dataclass(frozen=True)
class Const:
    """A literal option of an operation."""

    value: bool | int | float | str


@dataclass(frozen=True)
class Call:
    """A module applied to values (`fn` is a module name) or an operation (`gelu`, `attention`)."""

    fn: str
    args: tuple[Expr, ...]
    kwargs: tuple[tuple[str, Const], ...] = ()


@dataclass(frozen=True)
class Add:
    """A residual sum."""

    left: Expr
    right: Expr


@dataclass(frozen=True)
class Mul:
    """A gate: the elementwise product."""

    left: Expr
    right: Expr


Expr = Name | ModuleRef | Const | Call | Add | Mul


def names_read(expr: Expr) -> Iterator[str]:
    """The values an expression reads."""
    match expr:
        case Name(id):
            yield id
        case Add(left, right) | Mul(left, right):
            yield from names_read(left)
            yield from names_read(right)
        case Call(_, args, _):
            for arg in args:
                yield from names_read(arg)


@dataclass(frozen=True)
class Assign:
    """`a, b = expr`: several targets take the summands of a fused projection."""

    targets: tuple[str, ...]
    value: Expr


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
