"""The words of `growir`: names, numbers, maps and primitives, as the text spells them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from growplan.algebra import Expansion
from growplan.ir.graph import TensorType
from growplan.ir.primitives import (
    AddLeaf,
    AddNoise,
    AddNull,
    BlendLayers,
    CopyLayer,
    CopyTensor,
    CoreMatrix,
    Cut,
    DropUnits,
    DuplicateRow,
    Fill,
    Fresh,
    FromLeaf,
    Graft,
    Join,
    Leaf,
    LnAverage,
    Load,
    Mask,
    Pack,
    Primitive,
    Project,
    Ranges,
    Resample,
    RescaleNorm,
    RingMap,
    SampleUnits,
    Scale,
    SplitColumn,
    Store,
    Transform,
    ZeroOut,
)
from growplan.ir.text.fold import mark, mark_number
from growplan.ir.typing import INIT, NULL_SCALE

# quoted as the name of a tensor or value, so that no statement can be misread
KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
        across add_leaf add_noise add_null after approximate as at bitwise blend_layers blocks by
        centred claim cols constant copy copy_layer copy_tensor core_matrix data dim drop
        drop_units duplicate_row even false fill first for free fresh from from_leaf given graft
        grafted grid group growir hole i in join joined key keys law layers leaf learned let like
        ln_average load map mask mean measure model none normal null of origin over pack paired
        plan plus project resample resampled rescale_norm rest ring ring_map row rows same
        sample_units scale set_config silent sizes snr source split_column sqrt step store stream
        times trainable transform transposed true twins unchanged uneven units whole widened with
        zero zero_out
        """,
    )
)
BARE = re.compile(r"[A-Za-z_](?:[\w.@]|/(?!/)|-(?=\w))*", re.ASCII)
COUNT = re.compile(r"x\d+")  # `zero x256`
LONG = 48  # a map longer than this gets a name


def name(text: str) -> str:
    """A name, numbers marked for folding; quoted where it would not read as one."""
    if BARE.fullmatch(text) and text not in KEYWORDS and not COUNT.fullmatch(text):
        return mark(text)
    return quoted(text)


def word(text: str) -> str:
    """A name where only a name can stand, so that keywords need no quotes; never folded."""
    return text if BARE.fullmatch(text) else quoted(text)


def value(id: str) -> str:
    """A value: `%h.0.ln_1.weight@1.2`."""
    return "%" + name(id)


def quoted(text: str) -> str:
    """A JSON string without bytes that a text file or the folding could trip over."""
    plain = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() and not "\ue000" <= c <= "\uf8ff" else _escape(c) for c in plain)


def key(text: str, tensor: str = "") -> str:
    """A key as a string in which `~` stands for the tensor of the statement."""
    escaped = quoted(text).replace("~", "\\u007e")
    return escaped.replace(quoted(tensor)[1:-1].replace("~", "\\u007e"), "~") if tensor else escaped


def _escape(c: str) -> str:
    return json.dumps(c)[1:-1]


def inline(e: Expansion) -> str:
    """`[copy 0:768, mean*2/3 x256]`, with `of N` where N is not the end of the copies."""
    implied = max((r.start + r.count for r in e.runs if r.kind == "copy"), default=e.size)
    return str(e) + (f" of {e.old}" if e.old != implied else "")


def ranges(at: Ranges) -> str:
    """`768:1024, 1792:2048`."""
    return ", ".join(f"{a}:{b}" for a, b in at)


@dataclass(frozen=True)
class Context:
    """How the statement around a primitive spells what it implies."""

    map: Callable[[Expansion, int], str]  # a map on a dimension: `by law`, a name, or as it is
    key: Callable[[str], str]  # ` key shares`
    layers: tuple[int, int] | None = None  # what `copy_layer` means without numbers
    names: tuple[str, str] | None = None  # what `copy_tensor` means without names


def _copy_layer(op: CopyLayer, at: Context) -> str:
    implied = at.layers == (op.source, op.target)
    return "" if implied else f" {mark_number(op.source)} -> {mark_number(op.target)}"


def _copy_tensor(op: CopyTensor, at: Context) -> str:
    return "" if at.names == (op.source, op.target) else f" of {name(op.source)} -> {name(op.target)}"


def _split(op: SplitColumn, at: Context) -> str:
    over = f" over {at.map(op.rows, op.row_dim)}" if op.rows is not None else ""
    return f" dim {op.dim} {at.map(op.map, op.dim)} {op.shares}{over}" + (at.key(op.key) if op.key else "")


def _average(op: LnAverage, at: Context) -> str:
    return f" dim {op.dim} at {ranges(op.at)}" + ("" if op.c.is_one else f" times {op.c}")


def _fresh(op: Fresh, at: Context) -> str:
    init = op.init if INIT.fullmatch(op.init) else quoted(op.init)
    return f" dim {op.dim} at {ranges(op.at)} {init}{at.key(op.key)}"


def _add_null(op: AddNull, at: Context) -> str:
    scale = op.scale if NULL_SCALE.fullmatch(op.scale) else quoted(op.scale)
    return f" dim {op.dim} {at.map(op.map, op.dim)} {op.pairing} {scale}{at.key(op.key)}"


def _leaf(op: Leaf, at: Context) -> str:
    return f" {name(op.leaf)}: {TensorType(op.shape, op.dtype)} {op.kind}"


def _drop(op: DropUnits, at: Context) -> str:
    return f" dim {op.dim} {op.count}{at.key(op.units)}{at.key(op.key)}"


def _mask(op: Mask, at: Context) -> str:
    return f" dim {op.dim} at {ranges(op.at)} as {word(op.axis)}" + (f" over {op.over}" if op.over else "")


def grid(op: Resample) -> str:
    """` dim 1 grid 14 -> 24 after 1`."""
    return f" dim {op.dim} grid {op.old} -> {op.new} after {op.kept}"


def section(dim: int, start: int, count: int, inner: int) -> str:
    """` dim 0 at 64:128 units of 16`."""
    units = f" units of {inner}" if inner != 1 else ""
    return f" dim {dim} at {start}:{start + count * inner}{units}"


def cut(each: Cut, start: int, stop: int) -> str:
    """` at 0:192 across 2 transposed`."""
    across = f" across {each.across}" if each.across != 1 else ""
    return f" at {start}:{stop}{across}" + " transposed" * each.transposed


def _pack(op: Pack, at: Context) -> str:
    cuts = (cut(each, each.start, each.start + each.down * op.rows) for each in op.cuts)
    return f" {op.rows} by {op.cols}" + ",".join(cuts)


PRINTERS: Mapping[type[Primitive], Callable[[Any, Context], str]] = {
    Load: lambda op, at: f" {name(op.tensor)}",
    Store: lambda op, at: f" {name(op.tensor)}",
    CopyLayer: _copy_layer,
    CopyTensor: _copy_tensor,
    DuplicateRow: lambda op, at: f" dim {op.dim} {at.map(op.map, op.dim)}",
    SplitColumn: _split,
    LnAverage: _average,
    ZeroOut: lambda op, at: f" dim {op.dim} at {ranges(op.at)}",
    Fill: lambda op, at: f" {op.value}",
    Fresh: _fresh,
    AddNull: _add_null,
    Leaf: _leaf,
    FromLeaf: lambda op, at: f" dim {op.dim} at {ranges(op.at)}",
    SampleUnits: lambda op, at: f" dim {op.dim} {op.count}{at.key(op.key)}",
    DropUnits: _drop,
    AddNoise: lambda op, at: f" dim {op.dim} normal({op.std!r}){at.key(op.key)}",
    Mask: _mask,
    Graft: lambda op, at: f" dim {op.dim} at {ranges(op.at)}",
    Resample: lambda op, at: grid(op),
    BlendLayers: lambda op, at: f" {mark_number(op.layer)}",
    Project: lambda op, at: section(op.dim, op.start, op.count, op.inner),
    Transform: lambda op, at: section(op.dim, op.start, op.count, op.inner),
    AddLeaf: lambda op, at: "",
    Pack: _pack,
    RingMap: lambda op, at: f" {mark_number(op.layer)}" + cut(op.cut, op.cut.start, op.cut.stop),
    CoreMatrix: lambda op, at: "",
    Join: lambda op, at: f" dim {op.dim}",
    Scale: lambda op, at: f" {op.by}",
    RescaleNorm: lambda op, at: f" {op.by}",
}


def primitive(op: Primitive, context: Context) -> str:
    """`split_column dim 1 by law uneven key shares`."""
    return op.name + PRINTERS[type(op)](op, context)
