"""Random values drawn a second time: samples of every fresh slice, uneven share, null term and noise.

The second draw is Philox on plain Python integers, so that a fault of the tensor code cannot
repeat itself here. Any value of a free slice preserves the function, but only one value is
what the plan's seed stands for, on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from random import Random

import torch

from growplan.backend.dtypes import UNIT_ROUNDOFF, arithmetic, torch_dtype
from growplan.backend.evaluate import Evaluation
from growplan.backend.experts import chosen_units
from growplan.backend.kernels import scale_of
from growplan.backend.nulls import deviation
from growplan.backend.operands import Moments
from growplan.backend.philox import key_of, normal_table
from growplan.ir.graph import Graph, Node, Step
from growplan.ir.nulls import groups
from growplan.ir.primitives import AddNoise, AddNull, Drawn, DropUnits, Fresh, Primitive, SplitColumn

SAMPLES = 6  # elements of each range that are drawn again


@dataclass(frozen=True)
class Redrawn:
    """One element that is not what its key stands for; `index` is (row, column of the rest)."""

    value: str
    tensor: str
    index: tuple[int, int]
    found: float
    expected: float


def redraw(graph: Graph, step: Step, evaluation: Evaluation, seed: int) -> Iterator[Redrawn]:
    """The sampled elements of the step's random slices that differ from a second draw."""
    for tensor, node in _drawn_nodes(graph, step):
        random = Random(f"{seed}/{node.id}")
        for index, expected, slack in SAMPLERS[type(node.op)](node, evaluation, random):
            found = _element(evaluation, node.id, index)
            if not abs(found - expected) <= slack:
                yield Redrawn(node.id, tensor, index, found, expected)


def _drawn_nodes(graph: Graph, step: Step) -> Iterator[tuple[str, Node]]:
    seen: set[str] = set()
    for tensor, value in graph.models[step.index].items():
        if graph.nodes[value].step != step.index:
            continue
        for node in graph.chain(value):
            drawn = type(node.op) in SAMPLERS and isinstance(node.op, Drawn) and bool(node.op.key)
            if drawn and node.step == step.index and node.id not in seen:
                seen.add(node.id)
                yield tensor, node


def _element(evaluation: Evaluation, value: str, index: tuple[int, int]) -> float:
    """One element, out of a block that begins before it: rows in the wrong order would show."""
    start = max(0, index[0] - 1)
    rows = evaluation.rows(value, range(start, index[0] + 1))
    return float(rows[index[0] - start].reshape(-1)[index[1]])


# fresh slices ---------------------------------------------------------------------------------------

Sample = tuple[tuple[int, int], float, float]  # element, what it should be, how far it may be


def _fresh(node: Node, evaluation: Evaluation, random: Random) -> Iterator[Sample]:
    op = node.op
    assert isinstance(op, Fresh)
    mean, std = _moments(op, node, evaluation)
    dtype, width = arithmetic(node.type.dtype), prod(node.type.shape[1:])
    for start, stop in op.at:
        for at in (start, stop - 1, *(random.randrange(start, stop) for _ in range(SAMPLES - 2))):
            index = _place(node, op.dim, at, random)
            z = normal_of(key_of(op.key), index[0] * width + index[1])
            expected = float(torch.tensor(z * std + mean, dtype=torch.float64).to(dtype))
            u = UNIT_ROUNDOFF[dtype]
            yield index, expected, 8 * u * abs(expected) + (u + 1e-12) * (abs(mean) + std)


def _moments(op: Fresh, node: Node, evaluation: Evaluation) -> tuple[float, float]:
    """(mean, std) of the draw; `like` measured again, with torch's own reductions."""
    if op.init != "like":
        given = scale_of(op.init, evaluation.operand(node.inputs[1]))
        return given.mean, given.std
    return _measured(node, evaluation)


def _measured(node: Node, evaluation: Evaluation) -> tuple[float, float]:
    """(mean, std) of the second input of a draw, measured with torch's own reductions."""
    x = evaluation.whole(node.inputs[1]).to(torch.float64)
    mean = x.mean()  # `torch.std` is off by 1e-12 of itself on a large matrix
    return float(mean), float((x - mean).square().mean().sqrt())


def _place(node: Node, dim: int, at: int, random: Random) -> tuple[int, int]:
    """A random element whose coordinate along `dim` is `at`."""
    shape = node.type.shape
    row = at if dim == 0 else random.randrange(shape[0])
    column = 0
    for d, size in enumerate(shape[1:], start=1):
        column = column * size + (at if d == dim else random.randrange(size))
    return row, column


# uneven shares -------------------------------------------------------------------------------------


def _shares(node: Node, evaluation: Evaluation, random: Random) -> Iterator[Sample]:
    """The last copy of a unit holds fl(s x) / c, s of its own element."""
    op = node.op
    assert isinstance(op, SplitColumn)
    rows, dtype, width = list(op.map.rows()), arithmetic(node.type.dtype), prod(node.type.shape[1:])
    last = {row.unit: i for i, row in enumerate(rows) if row.kind == "copy"}
    shared = [unit for unit in sorted(last) if op.map.counts[unit] > 1]
    for unit in random.sample(shared, min(SAMPLES, len(shared))):
        index = _place(node, op.dim, last[unit], random)
        from_ = _source(node, op.dim, index, unit, evaluation)
        x = torch.tensor(_element(evaluation, node.inputs[0], from_), dtype=torch.float64)
        s = half_of(key_of(op.key), index[0] * width + index[1])
        share = (x.to(dtype) * s).to(torch_dtype(node.type.dtype)).to(torch.float64)
        expected = float(share) / float(rows[last[unit]].c)
        yield index, expected, 4 * UNIT_ROUNDOFF[dtype] * abs(expected)


def _source(
    node: Node, dim: int, index: tuple[int, int], unit: int, evaluation: Evaluation
) -> tuple[int, int]:
    """The element of the divided tensor that the element `index` is a share of."""
    if dim == 0:
        return unit, index[1]
    new, old = node.type.shape[1:], evaluation.graph.nodes[node.inputs[0]].type.shape[1:]
    place, rest = [], index[1]
    for size in reversed(new):
        rest, at = divmod(rest, size)
        place.append(at)
    place = place[::-1]
    place[dim - 1] = unit
    column = 0
    for at, size in zip(place, old, strict=True):
        column = column * size + at
    return index[0], column


# null terms ----------------------------------------------------------------------------------------


def _null(node: Node, evaluation: Evaluation, random: Random) -> Iterator[Sample]:
    """What stood there plus the noise of its own element and of its group."""
    op = node.op
    assert isinstance(op, AddNull)
    std = deviation(op, Moments(*_measured(node, evaluation)))
    rows, dtype, width = list(op.map.rows()), arithmetic(node.type.dtype), prod(node.type.shape[1:])
    found = list(groups(op))
    for group in random.sample(found, min(SAMPLES, len(found))):
        member = random.randrange(len(group))
        index = _place(node, op.dim, group[member], random)
        elements = [_moved(node, op.dim, index, at) for at in group]
        drawn = [normal_of(key_of(op.key), row * width + column) for row, column in elements]
        if op.pairing == "centred":
            z = drawn[member] - sum(drawn) / len(drawn)
        elif op.pairing == "first":
            z = drawn[member] if member else -sum(drawn[1:])
        else:
            z = -drawn[0] if member else drawn[0]
        copy = rows[group[member]]
        divided = op.map.counts[copy.unit] if op.scale.startswith("snr") else 1
        noise = z * std / divided / float(copy.c)
        was, u = _element(evaluation, node.inputs[0], index), UNIT_ROUNDOFF[dtype]
        yield index, was + noise, 4 * u * (abs(was) + abs(noise)) + 1e-12 * abs(std)


def _moved(node: Node, dim: int, index: tuple[int, int], at: int) -> tuple[int, int]:
    """The element `index` with its coordinate along `dim` set to `at`."""
    if dim == 0:
        return at, index[1]
    after, size = prod(node.type.shape[dim + 1 :]), node.type.shape[dim]
    high, low = index[1] // (after * size), index[1] % after
    return index[0], (high * size + at) * after + low


# experts -------------------------------------------------------------------------------------------


def _dropped(node: Node, evaluation: Evaluation, random: Random) -> Iterator[Sample]:
    """Units that were chosen are drawn like all that were; the others are as they were."""
    op = node.op
    assert isinstance(op, DropUnits)
    y = evaluation.whole(node.inputs[0])
    chosen = chosen_units(op.units, node.type.shape[op.dim], op.count).tolist()
    units, key = set(chosen), key_of(op.units)
    bound = max(word_of(key, unit) for unit in random.sample(chosen, min(SAMPLES, op.count)))
    x = y.index_select(op.dim, torch.tensor(chosen, device=y.device)).to(torch.float64)
    mean = float(x.mean())
    std = float((x - mean).square().mean().sqrt())
    dtype, width = y.dtype, prod(node.type.shape[1:])
    others = [unit for unit in range(node.type.shape[op.dim]) if unit not in units]
    kept = random.sample(others, min(SAMPLES, len(others)))
    for unit in (chosen[0], chosen[-1], *random.sample(chosen, min(SAMPLES, op.count)), *kept):
        index = _place(node, op.dim, unit, random)
        before = float(y[index[0]].reshape(-1)[index[1]])
        if unit in units:
            z = normal_of(key_of(op.key), index[0] * width + index[1])
            expected = float(torch.tensor(z * std + mean, dtype=torch.float64).to(dtype))
            u = UNIT_ROUNDOFF[dtype]
            yield index, expected, 8 * u * abs(expected) + (u + 1e-12) * (abs(mean) + std)
        else:  # a word below that of a chosen one should have been chosen
            yield index, before if word_of(key, unit) >= bound else float("nan"), 0.0


def _noisy(node: Node, evaluation: Evaluation, random: Random) -> Iterator[Sample]:
    """What stood there plus the deviation times the normal of the element."""
    op = node.op
    assert isinstance(op, AddNoise)
    width = prod(node.type.shape[1:])
    for row in (0, node.type.shape[0] - 1, *(random.randrange(node.type.shape[0]) for _ in range(SAMPLES))):
        index = _place(node, 0, row, random)
        before = _element(evaluation, node.inputs[0], index)
        expected = before + op.std * normal_of(key_of(op.key), index[0] * width + index[1])
        yield index, expected, 2 * UNIT_ROUNDOFF[arithmetic(node.type.dtype)] * abs(expected)


Sampler = Callable[[Node, Evaluation, Random], Iterator[Sample]]
SAMPLERS: Mapping[type[Primitive], Sampler] = {
    Fresh: _fresh,
    SplitColumn: _shares,
    AddNull: _null,
    DropUnits: _dropped,
    AddNoise: _noisy,
}

# Philox on integers ---------------------------------------------------------------------------------


def normal_of(key: tuple[int, int], element: int) -> float:
    """The standard normal of one element of a key's stream."""
    word = word_of(key, element)
    magnitude, table = word & 0x7FFFFFFF, normal_table()
    index, rest = magnitude >> 19, magnitude & 0x7FFFF
    if index == 4095:
        index, rest = index + (rest >> 7), (rest & 0x7F) << 12
    z = table[index] + (table[index + 1] - table[index]) * (rest / 2**19)
    return -z if word >> 31 else z


def half_of(key: tuple[int, int], element: int) -> float:
    """The share in [1/2, 1) of one element of a key's stream."""
    return ((word_of(key, element) >> 9) + 2**23) / 2**24


def word_of(key: tuple[int, int], element: int) -> int:
    """32 bits of Philox4x32-10."""
    mask, counter = 0xFFFFFFFF, element >> 2
    c = [counter & mask, counter >> 32, 0, 0]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & mask, (p0 >> 32) ^ c[3] ^ k1, p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c[element & 3]
