"""The layout of a learned operator: which leaves there are, and which sections of which tensors they widen.

LiGO (arXiv 2303.00980) as its authors' code has it: the residual stream has one operator; queries,
keys, values and the ffn have one for each layer (`layer`), or one for all (`shared`); every tensor
of a layer has weights over the old layers, a bias of its own. Axes that do not grow have none.

    parameters = sum over classes of (times) * extra * count  +  tensors of a layer * new layers * old
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from growplan.check.axis_classes import AxisClass, AxisClasses, axis_classes
from growplan.families.model import AxisExpr, Model, Param
from growplan.methods.base import LeafSpec, Operator


@dataclass(frozen=True)
class Section:
    """A part of a dimension that grows: `count` units of `inner` slices from `start` on, and `extra` new."""

    dim: int
    start: int  # in the tensor before the step
    count: int
    inner: int
    extra: int
    of: AxisClass


@dataclass(frozen=True)
class LigoLayout:
    """A LiGO operator between two models."""

    before: Model
    after: Model
    operator: Operator

    @property
    def deeper(self) -> bool:
        """Whether layers are blended."""
        return self.after.depth != self.before.depth

    @property
    def layers(self) -> int:
        """How many operators a class has where each layer has its own."""
        return self.after.depth if self.operator.order == "depth-first" else self.before.depth

    @cached_property
    def classes(self) -> AxisClasses:
        heads = [(m.sizes["heads"], m.sizes.get("kv_heads", m.sizes["heads"])) for m in self._models]
        return axis_classes(self.before, any(q != kv for q, kv in heads))

    @property
    def _models(self) -> tuple[Model, Model]:
        return self.before, self.after

    def sections(self, param: Param) -> tuple[Section, ...]:
        """The sections of a tensor that grow, those of one dimension by their place in it."""
        found: list[Section] = []
        start = 0
        for i, axis in enumerate(param.rows.split()):
            found += self._section(param.row_dim, start, axis, self.classes.outs.get((param.module, i)))
            start += axis.size(self.before.sizes)
        if param.cols is not None and not param.unfolded:
            found += self._section(param.col_dim, 0, param.cols, self.classes.ins.get(param.module))
        return tuple(found)

    def _section(self, dim: int, start: int, axis: AxisExpr, of: AxisClass | None) -> Iterator[Section]:
        old, new = (axis.size(m.sizes) for m in self._models)
        if old == new:
            return
        assert of is not None, f"{axis} grows and is in no class"
        inner = self.before.sizes["head_dim"] if self._by_heads(axis) else 1
        yield Section(dim, start, old // inner, inner, (new - old) // inner, of)

    def _by_heads(self, axis: AxisExpr) -> bool:
        return self.operator.mix == "heads" and axis.terms[0][1:] == ("head_dim",)

    @cached_property
    def tensors(self) -> Mapping[Param, tuple[Section, ...]]:
        """The sections of every parameter of the old model, layers and experts folded."""
        return {param: self.sections(param) for param in self.before.params()}

    @cached_property
    def widths(self) -> Mapping[AxisClass, tuple[int, int]]:
        """Class -> (extra, count) of its operator, in the order of the model."""
        return {s.of: (s.extra, s.count) for sections in self.tensors.values() for s in sections}

    @property
    def whole_heads(self) -> bool:
        """Whether `auto` mixes heads as wholes."""
        return self.classes.whole_heads

    # leaves ----------------------------------------------------------------------------------------

    def width_leaf(self, id: str, of: AxisClass, layer: int | str | None) -> str:
        """What the operator of a class is called in step `id`; `layer` counts where each has its own."""
        own = of.in_layer and self.operator.tying == "layer"
        return f"{id}/{of.name}.{layer}" if own else f"{id}/{of.name}"

    def depth_leaf(self, id: str, param: Param) -> str:
        """What the weights over old layers of a tensor are called."""
        return f"{id}/depth/{param.module}.{param.leaf}"

    def leaves(self, id: str, key: str) -> tuple[LeafSpec, ...]:
        """Every leaf of step `id`, whose draws begin with `key`."""
        o, found = self.operator, list[LeafSpec]()
        for of, shape in self.widths.items():
            for name in dict.fromkeys(self.width_leaf(id, of, layer) for layer in range(self.layers)):
                found.append(self._leaf(name, shape, o.width_init, id, key))
        if self.deeper:
            shape = (self.after.depth, self.before.depth)
            for param in self.before.params():
                if param.in_layer:
                    found.append(self._leaf(self.depth_leaf(id, param), shape, o.depth_init, id, key))
        return tuple(found)

    def _leaf(self, name: str, shape: tuple[int, int], init: str, id: str, key: str) -> LeafSpec:
        return LeafSpec(name, shape, init, key + name.removeprefix(id))

    # sizes -----------------------------------------------------------------------------------------

    @property
    def width_parameters(self) -> int:
        """Numbers in the width operators."""
        own = self.operator.tying == "layer"
        return sum(
            prod(shape) * (self.layers if of.in_layer and own else 1) for of, shape in self.widths.items()
        )

    @property
    def inner_parameters(self) -> int:
        """Numbers in the width operators that are each layer's own under `layer` ties."""
        return sum(prod(shape) * self.layers for of, shape in self.widths.items() if of.in_layer)

    @property
    def depth_parameters(self) -> int:
        """Numbers in the weights over old layers."""
        if not self.deeper:
            return 0
        return sum(param.in_layer for param in self.before.params()) * self.after.depth * self.before.depth

    @property
    def parts(self) -> Mapping[str, int]:
        """Numbers of width, and of depth."""
        return {"width": self.width_parameters, "depth": self.depth_parameters}

    @property
    def materialise(self) -> int:
        """FLOPs of making all weights of the target once.

        A blend costs 2 L numbers per number of the tensor (L old layers), a section that grows by
        `extra` units 2 extra * count * (the slices beside), rows before columns.
        """
        total, new, old = 0, self.after.depth, self.before.depth
        depth_first = self.operator.order == "depth-first"
        for param, sections in self.tensors.items():
            shape, widen = list(self.before.shape(param)), 0
            start = prod(shape)
            for section in sections:
                beside = prod(shape) // shape[section.dim] * section.inner
                widen += 2 * section.extra * section.count * beside
                shape[section.dim] += section.extra * section.inner
            copies = self.before.copies(param) // (old if param.in_layer else 1)
            blended = param.in_layer and self.deeper
            times = (new if depth_first or not self.deeper else old) if param.in_layer else 1
            total += copies * times * widen
            if blended:
                total += copies * new * 2 * old * (start if depth_first else prod(shape))
        return total

    # words -----------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """How it is tied, in a few words."""
        each = self.operator.tying == "layer"
        return "operators of each layer" if each else "operators shared by all layers"

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is fitted, for the reader of a check."""
        operator = self.operator
        own = [of.name for of in self.widths if of.in_layer]
        one = [of.name for of in self.widths if not of.in_layer]
        reasons = ["what the grown model computes is fitted on data: nothing is preserved"]
        if one:
            reasons.append(f"one width operator {'each ' * (len(one) > 1)}for {', '.join(one)}")
        if own:
            many = f"each of the {self.layers} layers" if operator.tying == "layer" else "all layers together"
            reasons.append(f"width operators of {many} for {', '.join(own)}")
        if self.deeper:
            reasons.append(
                f"each of the {self.after.depth} layers is a sum of the {self.before.depth} old ones, "
                "weighted tensor by tensor"
            )
        if operator.mix == "heads" and own:
            reasons.append(
                "new heads are sums of whole heads, so that rotary pairs and norms keep their units"
            )
        return tuple(reasons)
