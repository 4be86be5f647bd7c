"""The layout of a general operator: LiGO's form without its ties, wide enough to begin as any static step.

LiGO reads an axis through the transpose of what writes it, which no function-preserving map is.
Here every end of every weight has a leaf of its own, and what no product gives is added:

    W_i* = E_out (sum over l of w_il W_l) D_in^T + N     b_i* = E_out (sum over l of w_il b_l) + n

    E [out*, out], D [in*, in]   one for each end of a module whose axis grows (a fused projection has
                                 one for each part), of each layer (`layer`) or for all (`shared`)
    w [new layers, old]          one row for each block: all tensors of a block share it
    N, n                         of the tensor's shape, where the step changes the tensor
    norms                        scale and shift: what the static step makes of them, and a leaf added

    parameters = sum over ends of (times) * new * old units  +  L* L  +  numbers of N and n  +  of norms
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from growplan.check.axis_classes import whole_heads
from growplan.families.model import AxisExpr, Model, Param
from growplan.methods.base import LeafSpec, Operator


@dataclass(frozen=True)
class End:
    """One end of a module: `count` units of `inner` slices from `start` on become `new` units."""

    dim: int
    start: int  # in the tensor before the step
    to: int  # in the tensor after it
    count: int
    inner: int
    new: int
    name: str  # `out/h.attn.c_attn/0`
    in_layer: bool


@dataclass(frozen=True)
class GeneralLayout:
    """A general operator between two models."""

    before: Model
    after: Model
    operator: Operator

    @property
    def deeper(self) -> bool:
        """Whether layers are blended."""
        return self.after.depth != self.before.depth

    @property
    def whole_heads(self) -> bool:
        """Whether `mix auto` mixes heads as wholes."""
        return whole_heads(self.before)

    def is_norm(self, param: Param) -> bool:
        """Whether a tensor is a norm's scale or shift, which no end and no blend reaches."""
        return self.before.modules[param.module].is_norm

    def touched(self, param: Param) -> bool:
        """Whether the step makes the tensor anew: its shape changes, or layers are blended."""
        return self.before.shape(param) != self.after.shape(param) or (param.in_layer and self.deeper)

    def ends(self, param: Param) -> tuple[End, ...]:
        """The ends of a tensor that grow, those of one dimension by their place in it."""
        if self.is_norm(param):
            return ()
        found, start, to, parts = list[End](), 0, 0, param.rows.split()
        for i, axis in enumerate(parts):
            name = f"out/{param.module}" + f"/{i}" * (len(parts) > 1)
            found += self._end(param, param.row_dim, (start, to), axis, name)
            start, to = start + axis.size(self.before.sizes), to + axis.size(self.after.sizes)
        if param.cols is not None and not param.unfolded:
            found += self._end(param, param.col_dim, (0, 0), param.cols, f"in/{param.module}")
        return tuple(found)

    def _end(self, param: Param, dim: int, at: tuple[int, int], axis: AxisExpr, name: str) -> Iterator[End]:
        old, new = (axis.size(m.sizes) for m in (self.before, self.after))
        if old != new:
            heads = self.operator.mix == "heads" and axis.terms[0][1:] == ("head_dim",)
            inner = self.before.sizes["head_dim"] if heads else 1
            yield End(dim, *at, old // inner, inner, new // inner, name, param.in_layer)

    # leaves ----------------------------------------------------------------------------------------

    def end_leaf(self, id: str, end: End, layer: int | None) -> str:
        """What the operator of an end is called in step `id`."""
        own = end.in_layer and self.operator.tying == "layer"
        return f"{id}/{end.name}.{layer}" if own else f"{id}/{end.name}"

    def depth_leaf(self, id: str) -> str:
        """What the weights over old layers are called."""
        return f"{id}/depth"

    def added_leaf(self, id: str, param: Param, layer: int | None) -> str:
        """What is added to a tensor; empty where nothing is."""
        if not self.touched(param) or not (self.operator.residual or self.is_norm(param)):
            return ""
        expert = "" if param.expert is None else f"/{param.expert}"
        return f"{id}/add/{param.module}.{param.leaf}{expert}" + ("" if layer is None else f".{layer}")

    def leaves(self, id: str, key: str) -> tuple[LeafSpec, ...]:
        """Every leaf of step `id`; all begin as the static step's."""
        shapes: dict[str, tuple[int, ...]] = {}
        for end in self._ends:
            for layer in range(self.after.depth):
                shapes[self.end_leaf(id, end, layer)] = (end.new, end.count)
        if self.deeper:
            shapes[self.depth_leaf(id)] = (self.after.depth, self.before.depth)
        for _, param, at in self.after.tensors():
            name = self.added_leaf(id, param, at)
            if name:
                shapes[name] = self.after.shape(param)
        word = self.operator.start or ""
        return tuple(
            LeafSpec(name, shape, word, key + name.removeprefix(id)) for name, shape in shapes.items()
        )

    @cached_property
    def _ends(self) -> tuple[End, ...]:
        """Every end once: a module's weight and bias share its outer one."""
        found = {end.name: end for param in self.before.params() for end in self.ends(param)}
        return tuple(found.values())

    # sizes -----------------------------------------------------------------------------------------

    @property
    def parts(self) -> Mapping[str, int]:
        """Numbers of width, of depth, of what is added to products, and of norms."""
        own = self.operator.tying == "layer"
        width = sum(
            end.new * end.count * (self.after.depth if own and end.in_layer else 1) for end in self._ends
        )
        added, norms = 0, 0
        for param in self.before.params():
            if self.added_leaf("", param, None):
                numbers = prod(self.after.shape(param)) * self.after.copies(param)
                added, norms = (added, norms + numbers) if self.is_norm(param) else (added + numbers, norms)
        found = {
            "width": width,
            "depth": self.after.depth * self.before.depth if self.deeper else 0,
            "residuals": added,
            "norms": norms,
        }
        return {word: count for word, count in found.items() if count or word in ("width", "depth")}

    @property
    def inner_parameters(self) -> int:
        """Numbers of the ends that are each layer's own under `layer` ties."""
        return sum(end.new * end.count for end in self._ends if end.in_layer) * self.after.depth

    @property
    def materialise(self) -> int:
        """FLOPs of making all weights of the target once.

        A blend costs 2 L numbers per number of the tensor (L old layers), an end of `new` units
        2 new * count * (the slices beside), outer ends before inner ones, a sum one per number.
        """
        total = 0
        for param in self.before.params():
            if not self.touched(param):
                continue
            shape = list(self.before.shape(param))
            blended = param.in_layer and self.deeper and not self.is_norm(param)
            flops = 2 * self.before.depth * prod(shape) if blended else 0
            for end in self.ends(param):
                flops += 2 * end.new * end.count * end.inner * (prod(shape) // shape[end.dim])
                shape[end.dim] += (end.new - end.count) * end.inner
            flops += prod(shape) if self.added_leaf("", param, None) else 0
            total += flops * self.after.copies(param)
        return total

    # words -----------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """What it begins as, and how it is tied."""
        each = "of each layer" if self.operator.tying == "layer" else "shared by all layers"
        return f"general operators {each}, begun as `{self.operator.start}`"

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is fitted, for the reader of a check."""
        outer = sum(end.name.startswith("out/") for end in self._ends)
        reasons = ["what the grown model computes is fitted on data: nothing is preserved"]
        if self._ends:
            inner = len(self._ends) - outer
            reasons.append(f"an operator for each end that grows: {outer} outer ends, {inner} inner ones")
        if self.deeper:
            reasons.append(
                f"each of the {self.after.depth} layers is a sum of the {self.before.depth} old ones, "
                "weighted block by block"
            )
        if self.operator.residual:
            reasons.append("and learned values are added to every tensor that the step makes")
        if self.operator.mix == "heads" and {"heads", "kv_heads"} & self._grown:
            reasons.append(
                "new heads are sums of whole heads, so that rotary pairs and norms keep their units"
            )
        return tuple(reasons)

    @property
    def _grown(self) -> set[str]:
        return {axis for axis, size in self.after.sizes.items() if self.before.sizes.get(axis) != size}
