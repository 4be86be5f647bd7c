"""Type rules of tensor rings: blocks of one size, and cores whose bonds close."""

from __future__ import annotations

from math import prod

from growplan.ir.graph import TensorType
from growplan.ir.mistype import Mistype, Types
from growplan.ir.primitives import CoreMatrix, Join, Pack, RingMap
from growplan.ir.primitives.ring import Cut

CORES = ("S_B", "S_O", "S_L", "S_I")  # in the order of the inputs of `ring_map`


def pack(op: Pack, inputs: Types) -> TensorType:
    """[blocks, rows, cols]; every cut lies in its matrix and takes all of its columns."""
    if not inputs or len(inputs) != len(op.cuts):
        raise Mistype(f"has {len(op.cuts)} cuts for {len(inputs)} tensors")
    if min(op.rows, op.cols) < 1:
        raise Mistype(f"blocks of {op.rows} x {op.cols} hold nothing")
    for cut, x in zip(op.cuts, inputs, strict=True):
        _check_grid(cut)
        if len(x.shape) != 2 or x.dtype != inputs[0].dtype:
            raise Mistype(f"blocks of one dtype are cut of matrices, not of {x} beside {inputs[0]}")
        rows, cols = x.shape[::-1] if cut.transposed else x.shape
        if cut.start + cut.down * op.rows > rows or cut.across * op.cols != cols:
            raise Mistype(f"{x} has no {cut.down} x {cut.across} blocks of {op.rows} x {op.cols} there")
    return TensorType((op.blocks, op.rows, op.cols), inputs[0].dtype)


def ring_map(op: RingMap, inputs: Types) -> TensorType:
    """The matrix of the blocks that are asked for."""
    if len(inputs) < 5:
        raise Mistype("takes four cores and the blocks of each old layer")
    cores, layers = inputs[:4], inputs[4:]
    blocks, outs, depth, ins = _closed(cores)
    if any(x != layers[0] for x in layers) or len(layers[0].shape) != 3:
        raise Mistype("every old layer has the same blocks, as `pack` gives them")
    count, rows, cols = layers[0].shape
    if (count, len(layers)) != (blocks[0], depth[0]):
        raise Mistype(
            f"{len(layers)} layers of {count} blocks, where the cores read {depth[0]} of {blocks[0]}"
        )
    if rows % outs[0] or cols % ins[0]:
        raise Mistype(f"blocks of {rows} x {cols} are no whole units of {outs[0]} x {ins[0]}")
    _check_grid(op.cut)
    if not 0 <= op.layer < depth[1] or op.cut.stop > blocks[1]:
        raise Mistype(f"the cores make no layer {op.layer} with blocks up to {op.cut.stop}")
    shape = (op.cut.down * outs[1] * (rows // outs[0]), op.cut.across * ins[1] * (cols // ins[0]))
    return TensorType(shape[::-1] if op.cut.transposed else shape, layers[0].dtype)


def core_matrix(op: CoreMatrix, inputs: Types) -> TensorType:
    """[new, old] of a core [bond, old, new, bond]."""
    core = inputs[0]
    if len(core.shape) != 4:
        raise Mistype(f"a core has two bonds and two sizes, not the shape {list(core.shape)}")
    return TensorType((core.shape[2], core.shape[1]), core.dtype)


def join(op: Join, inputs: Types) -> TensorType:
    """The sum of the sizes along one dimension; all others are equal."""
    if not inputs or not 0 <= op.dim < len(inputs[0].shape):
        raise Mistype(f"joins tensors along a dimension that they have, not along {op.dim}")
    first = inputs[0]
    for x in inputs:
        if len(x.shape) != len(first.shape) or _beside(x, op.dim) != _beside(first, op.dim):
            raise Mistype(f"{x} cannot follow {first} along dim {op.dim}")
    total = sum(x.shape[op.dim] for x in inputs)
    return TensorType((*first.shape[: op.dim], total, *first.shape[op.dim + 1 :]), first.dtype)


def _beside(x: TensorType, dim: int) -> tuple[object, ...]:
    return (*x.shape[:dim], *x.shape[dim + 1 :], x.dtype)


def _check_grid(cut: Cut) -> None:
    if min(cut.start, cut.count - 1, cut.across - 1) < 0 or cut.count % cut.across:
        raise Mistype(f"{cut.count} blocks from {cut.start} on are no grid {cut.across} across")


def _closed(cores: Types) -> list[tuple[int, int]]:
    """(old, new) of each core, where the second bond of each is the first of the next, round and round."""
    for name, core, after in zip(CORES, cores, (*cores[1:], cores[0]), strict=True):
        if len(core.shape) != 4 or prod(core.shape) < 1:
            raise Mistype(f"{name} is no core [bond, old, new, bond]: {core}")
        if core.shape[3] != after.shape[0]:
            raise Mistype(
                f"the last bond of {name} is {core.shape[3]}, the next core's first {after.shape[0]}"
            )
    return [(core.shape[1], core.shape[2]) for core in cores]
