"""Reading the primitives of `growir`: their words, and what these leave to the statement around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from growplan.algebra import ONE, Expansion, Root
from growplan.ir.graph import LearnedLaw, Widened
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
from growplan.ir.rings import RingGroup, RingLaw
from growplan.ir.text.implied import copies_of
from growplan.ir.text.terms import Parsed, Terms, first, tokens, trees


@dataclass(frozen=True)
class Place:
    """What a primitive's words may leave to its statement: the law's maps, the start of keys, layers."""

    terms: Terms
    law: Mapping[int, Expansion] = field(default_factory=dict)
    keys: str = ""
    tensor: str = "~"
    layers: tuple[int, int] | None = None
    names: tuple[str, str] | None = None

    def dim(self, tree: Parsed) -> int:
        return self.terms.ints(trees(tree, "dim")[0])[0]

    def at(self, tree: Parsed) -> Ranges:
        pairs = (self.terms.ints(each) for each in trees(trees(tree, "at")[0], "range"))
        return tuple((begin, end) for begin, end in pairs)

    def map(self, tree: Parsed, dim: int | None = None) -> Expansion:
        word, dim = trees(tree, "op_map")[0], self.dim(tree) if dim is None else dim
        if not tokens(word, "BY_LAW"):
            return self.terms.whole_map(self.terms.maps_in(word)[0])
        if dim not in self.law:
            self.terms.refuse("GP251", f"no law here has a map on dim {dim}", word)
        return copies_of(self.law[dim])

    def root(self, tree: Parsed) -> Root | None:
        word = first(tree, "rational", "square_root")
        return None if word is None else self.terms.root(word)

    def key(self, tree: Parsed) -> str:
        return next(iter(self.keys_of(tree)), "")

    def keys_of(self, tree: Parsed) -> list[str]:
        """Every key of a primitive, in order."""
        return [self._key(word) for word in trees(tree, "short_key", "full_key")]

    def _key(self, word: Parsed) -> str:
        if word.data == "full_key":
            return self.terms.string(tokens(word, "STRING")[0], self.tensor)
        if not self.keys:
            self.terms.refuse("GP251", "a short key needs `keys` in the step", word)
        return self.keys + str(word.children[0])

    def init(self, tree: Parsed) -> str:
        (token,) = tokens(tree, "INIT", "STRING")
        return self.terms.string(token) if token.type == "STRING" else str(token)


def _copy_layer(tree: Parsed, p: Place) -> Primitive:
    given = [p.terms.index(each) for each in trees(tree, "index")] or p.layers
    if given is None:
        p.terms.refuse("GP251", "the names here have no layers; write `copy_layer 0 -> 1`", tree)
    return CopyLayer(given[0], given[1])


def _copy_tensor(tree: Parsed, p: Place) -> Primitive:
    given = p.terms.names(tree) or p.names
    if given is None:
        p.terms.refuse("GP251", "there are no two names here; write `copy_tensor of a -> b`", tree)
    return CopyTensor(given[0], given[1])


def _split(tree: Parsed, p: Place) -> Primitive:
    over, dim = first(tree, "over_rows"), p.dim(tree)
    rows = None if over is None else p.map(over, 1 if dim == 0 else 0)
    return SplitColumn(dim, p.map(tree), p.terms.names(tree)[0], p.key(tree), rows)


def _add_null(tree: Parsed, p: Place) -> Primitive:
    pairing = p.terms.names(tree)[0]
    return AddNull(p.dim(tree), p.map(tree), pairing, p.init(tree), p.key(tree))


def _leaf(tree: Parsed, p: Place) -> Primitive:
    type_ = p.terms.type(trees(tree, "type")[0])
    return Leaf(p.terms.names(tree)[0], type_.shape, type_.dtype, str(tokens(tree, "LEAF_KIND")[0]))


def _mask(tree: Parsed, p: Place) -> Primitive:
    over = p.terms.ints(tree)
    return Mask(p.dim(tree), p.at(tree), p.terms.names(tree)[0], over[0] if over else 0)


def resample(tree: Parsed, p: Place) -> Resample:
    """`dim 1 grid 14 -> 24 after 1`."""
    old, new, kept = p.terms.ints(tree)
    return Resample(p.dim(tree), kept, old, new)


def _drop(tree: Parsed, p: Place) -> Primitive:
    (count,) = p.terms.ints(tree)
    return DropUnits(p.dim(tree), count, *p.keys_of(tree))


def _noise(tree: Parsed, p: Place) -> Primitive:
    std = p.init(tree).removeprefix("normal(").removesuffix(")")
    try:
        return AddNoise(p.dim(tree), float(std), p.key(tree))
    except ValueError:
        p.terms.refuse("GP250", "noise is written `normal(STD)`", tree)


def section(tree: Parsed, p: Place) -> tuple[int, int, int, int]:
    """`dim 0 at 64:128 units of 16` as (dim, start, units, slices of one)."""
    (start, stop), *others = p.at(tree)
    units = first(tree, "units")
    inner = 1 if units is None else p.terms.ints(units)[0]
    if others or inner < 1 or stop < start or (stop - start) % inner:
        p.terms.refuse("GP250", f"this is no section of whole units of {inner}", tree)
    return p.dim(tree), start, (stop - start) // inner, inner


def cut(tree: Parsed, p: Place, rows: int = 0) -> Cut:
    """`at 0:192 across 2 transposed`: blocks, or slices of which so many `rows` are one block."""
    start, stop = p.terms.ints(trees(tree, "range")[0])
    across = next(iter(p.terms.ints(tree)), 1)
    if stop < start or across < 1 or (stop - start) % (rows or across):
        p.terms.refuse("GP250", f"{start}:{stop} are no whole lines of blocks", tree)
    count = (stop - start) // rows * across if rows else stop - start
    return Cut(start, count, across, bool(tokens(tree, "TRANSPOSED")))


def _pack(tree: Parsed, p: Place) -> Primitive:
    rows, cols = p.terms.ints(tree)
    return Pack(rows, cols, tuple(cut(each, p, rows) for each in trees(tree, "cut")))


def _ring_map(tree: Parsed, p: Place) -> Primitive:
    return RingMap(p.terms.index(trees(tree, "index")[0]), cut(trees(tree, "cut")[0], p))


def read_group(tree: Parsed, terms: Terms) -> RingGroup:
    """The group that a field of a step declares."""
    name, *cores = terms.names(tree)
    (layers,), packed = terms.ints(tree), trees(tree, "packed")[0]
    rows, cols = terms.ints(packed)
    members = tuple(
        (terms.names(member)[0], cut(trees(member, "cut")[0], Place(terms), rows))
        for member in trees(packed, "member")
    )
    return RingGroup(name, layers, rows, cols, members, (cores[0], cores[1], cores[2], cores[3]))


def read_ring(tree: Parsed, tensor: str, terms: Terms) -> RingLaw:
    """The law of a `ring` clause."""
    place, joined = Place(terms), first(tree, "joined")
    parts = tuple((terms.names(part)[0], cut(trees(part, "cut")[0], place)) for part in trees(tree, "part"))
    layer = terms.index(trees(tree, "index")[0])
    return RingLaw(tensor, layer, parts, 0 if joined is None else place.dim(joined))


def read_learned(tree: Parsed, tensor: str, home: str | None, terms: Terms) -> LearnedLaw:
    """The law of a `learned` clause, in a statement that starts from the tensor `home`."""
    place, of = Place(terms), first(tree, "learned_of")
    source, layers = home or tensor, 0
    if of is not None:
        source, counts = terms.names(of)[0], terms.ints(of)
        layers = counts[0] if counts else 0
    weights = first(tree, "weights")
    depth = terms.names(weights)[0] if weights is not None else ""
    row = terms.index(trees(weights, "index")[0]) if weights is not None else 0
    sides = tuple(
        Widened(*section(side, place), terms.names(side)[0], bool(tokens(side, "WHOLE")))
        for side in trees(tree, "side")
    )
    plus = first(tree, "plus")
    residual = terms.names(plus)[0] if plus is not None else ""
    made = terms.maps_in(tree)
    return LearnedLaw(
        tensor,
        source,
        layers,
        depth,
        row,
        sides,
        bool(tokens(tree, "WIDENED")),
        residual,
        terms.whole_map(made[0]) if made else None,
    )


READERS: Mapping[str, Callable[[Parsed, Place], Primitive]] = {
    "load_tensor": lambda tree, p: Load(p.terms.names(tree)[0]),
    "store_tensor": lambda tree, p: Store(p.terms.names(tree)[0]),
    "copy_layer": _copy_layer,
    "copy_tensor": _copy_tensor,
    "duplicate_row": lambda tree, p: DuplicateRow(p.dim(tree), p.map(tree)),
    "split_column": _split,
    "ln_average": lambda tree, p: LnAverage(p.dim(tree), p.at(tree), p.root(tree) or ONE),
    "zero_out": lambda tree, p: ZeroOut(p.dim(tree), p.at(tree)),
    "fill": lambda tree, p: Fill(p.root(tree) or ONE),
    "fresh": lambda tree, p: Fresh(p.dim(tree), p.at(tree), p.init(tree), p.key(tree)),
    "add_null": _add_null,
    "leaf": _leaf,
    "from_leaf": lambda tree, p: FromLeaf(p.dim(tree), p.at(tree)),
    "sample_units": lambda tree, p: SampleUnits(p.dim(tree), p.terms.ints(tree)[0], p.key(tree)),
    "drop_units": _drop,
    "add_noise": _noise,
    "mask": _mask,
    "graft": lambda tree, p: Graft(p.dim(tree), p.at(tree)),
    "resample": resample,
    "blend_layers": lambda tree, p: BlendLayers(p.terms.index(trees(tree, "index")[0])),
    "project": lambda tree, p: Project(*section(tree, p)),
    "transform": lambda tree, p: Transform(*section(tree, p)),
    "add_leaf": lambda tree, p: AddLeaf(),
    "pack": _pack,
    "ring_map": _ring_map,
    "core_matrix": lambda tree, p: CoreMatrix(),
    "join": lambda tree, p: Join(p.dim(tree)),
    "scale": lambda tree, p: Scale(p.root(tree) or ONE),
    "rescale_norm": lambda tree, p: RescaleNorm(p.root(tree) or ONE),
}


def primitive(tree: Parsed, place: Place) -> Primitive:
    """The primitive among the children of `tree`."""
    (word,) = trees(tree, *READERS)
    return READERS[word.data](word, place)
