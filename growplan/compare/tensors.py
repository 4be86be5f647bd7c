"""What changed in the lowered programs: the rewrites of each stored tensor, layers and experts folded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from growplan.algebra import Expansion
from growplan.compare.values import TensorChange
from growplan.ir.graph import Graph
from growplan.ir.primitives import CopyLayer, CopyTensor, Load, Primitive, Store

_LAYER = re.compile(r"(?<=\.)\d+(?=\.)")  # the first number between dots is the layer
_EXPERT = re.compile(r"(?<=\.experts\.)\d+(?=\.)")
_RUNS = 4  # runs of a map that are shown
_SOURCE = "{s}"  # stands for the layers that a folded `copy_layer` reads

Status = Literal["added", "removed", "changed", "redrawn"]


@dataclass(frozen=True)
class Making:
    """How a stored tensor is made: its type, the primitives first to last, the random keys.

    `source` is the old layer it is a copy of, None where it stays in its own.
    """

    shape: str
    ops: tuple[str, ...]
    keys: tuple[str, ...]
    source: int | None


def tensor_changes(old: Graph | None, new: Graph | None) -> tuple[TensorChange, ...]:
    """Tensors that are made differently, in the order of the new program.

    Where one side has no program, what the other's makes of its tensors: those it leaves alone are left out.
    """
    before, after = (
        _left_alone(other) if graph is None else dict(makings(graph))
        for graph, other in ((old, new), (new, old))
    )
    folded: dict[tuple[Any, ...], list[tuple[int | None, Making | None, Making | None]]] = {}
    for name in {**after, **before}:
        a, b = before.get(name), after.get(name)
        status = _status(a, b)
        if status is not None:
            pattern, layer = split_layer(name)
            folded.setdefault((pattern, status, _shown(a), _shown(b)), []).append((layer, a, b))
    return tuple(
        fold_experts(
            TensorChange(
                name=pattern,
                layers=tuple(layer for layer, _, _ in group if layer is not None),
                status=status,
                old=_texts([a for _, a, _ in group]),
                new=_texts([b for _, _, b in group]),
                shape_old=shown_old[0],
                shape_new=shown_new[0],
            )
            for (pattern, status, shown_old, shown_new), group in folded.items()
        )
    )


def fold_experts(changes: Iterable[TensorChange]) -> list[TensorChange]:
    """One change for all experts that change alike in the same layers."""
    folded: dict[TensorChange, list[int]] = {}
    for change in changes:
        name, expert = split_expert(change.name)
        experts = folded.setdefault(replace(change, name=name, experts=()), [])
        experts += change.experts if expert is None else (expert,)
    return [replace(change, experts=tuple(sorted(experts))) for change, experts in folded.items()]


def _status(old: Making | None, new: Making | None) -> Status | None:
    if old == new:
        return None
    if old is None or new is None:
        return "added" if old is None else "removed"
    redrawn = (old.shape, old.ops, old.source) == (new.shape, new.ops, new.source)
    return "redrawn" if redrawn else "changed"


def _shown(making: Making | None) -> tuple[str, tuple[str, ...]]:
    return ("", ()) if making is None else (making.shape, making.ops)


def _texts(group: list[Making | None]) -> tuple[str, ...]:
    """The rewrites that a folded group shares, the layers they read filled in."""
    first = group[0]
    if first is None:
        return ()
    sources = ranges([m.source for m in group if m is not None and m.source is not None])
    return tuple(text.replace(_SOURCE, sources) for text in first.ops)


def ranges(numbers: list[int]) -> str:
    """Half-open runs, as the IR writes them.

    >>> ranges([0, 1, 2, 5]), ranges([7])
    ('0:3, 5', '7')
    """
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([n, n + 1])
    return ", ".join(str(a) if b == a + 1 else f"{a}:{b}" for a, b in runs)


def split_layer(name: str) -> tuple[str, int | None]:
    """
    >>> split_layer("encoder.layer.11.output.dense.weight")
    ('encoder.layer.{i}.output.dense.weight', 11)
    """
    match = _LAYER.search(name)
    if match is None:
        return name, None
    return f"{name[: match.start()]}{{i}}{name[match.end() :]}", int(match[0])


def split_expert(name: str) -> tuple[str, int | None]:
    """
    >>> split_expert("layers.{i}.moe.experts.7.w1.weight")
    ('layers.{i}.moe.experts.{e}.w1.weight', 7)
    """
    match = _EXPERT.search(name)
    if match is None:
        return name, None
    return f"{name[: match.start()]}{{e}}{name[match.end() :]}", int(match[0])


# one program ---------------------------------------------------------------------------------------------


def _left_alone(graph: Graph | None) -> dict[str, Making]:
    """The tensors that a program reads, each as it is."""
    loads = [node for node in graph.nodes.values() if isinstance(node.op, Load)] if graph is not None else []
    return {
        node.op.tensor: Making(str(node.type), (), (), split_layer(node.op.tensor)[1])
        for node in loads
        if isinstance(node.op, Load)
    }


def makings(graph: Graph) -> Iterator[tuple[str, Making]]:
    """Every stored tensor with its chain of primitives."""
    order = {name: k for k, name in enumerate(graph.nodes)}
    texts: dict[tuple[Any, ...], str] = {}
    for tensor, value in graph.stores.items():
        chain = sorted(graph.chain(value), key=lambda node: order[node.id])
        ops = [node.op for node in chain if not isinstance(node.op, (Load, Store))]
        yield (
            tensor,
            Making(
                str(graph.nodes[value].type),
                tuple(_text(op, texts) for op in ops),
                tuple(key for op in ops if (key := getattr(op, "key", ""))),
                _layer_read(chain[0].op),
            ),
        )


def _layer_read(op: Primitive) -> int | None:
    return split_layer(op.tensor)[1] if isinstance(op, Load) else None


def _text(op: Primitive, known: dict[tuple[Any, ...], str]) -> str:
    """A primitive in one line, without its random key; layers share one text."""
    if isinstance(op, CopyTensor):
        return f"{op.name} from {split_layer(op.source)[0].replace('{i}', '{' + _SOURCE + '}')}"
    if isinstance(op, CopyLayer):
        return f"{op.name} from {_SOURCE}"
    values = tuple(getattr(op, f.name) for f in fields(op) if f.name != "key")
    key = (type(op), *values)
    if key not in known:
        words = {f.name: getattr(op, f.name) for f in fields(op) if f.name != "key"}
        known[key] = " ".join([op.name, *_words(words)])
    return known[key]


def _words(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, Expansion):
            runs = [str(run) for run in value.runs]
            more = [f"… {len(runs) - _RUNS} more"] * (len(runs) > _RUNS)
            yield "over " * (name == "rows") + "[" + ", ".join(runs[:_RUNS] + more) + "]"
        elif name == "at":
            yield "at " + ", ".join(f"{a}:{b}" for a, b in value)
        elif name == "dim":
            yield f"dim {value}"
        elif name != "over" or value:
            yield f"over {value}" if name == "over" else str(value)
