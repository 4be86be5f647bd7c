"""Random well-formed graphs: any chain of primitives, any names, laws that need not hold."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from growplan.algebra import Expansion, Root, Run
from growplan.ir.graph import (
    Above,
    BlockLaw,
    Graph,
    LearnedLaw,
    ModuleLaw,
    Node,
    Provenance,
    SetConfig,
    Step,
    TensorLaw,
    TensorType,
    Widened,
)
from growplan.ir.primitives import (
    AddLeaf,
    AddNoise,
    AddNull,
    BlendLayers,
    CopyLayer,
    CopyTensor,
    CoreMatrix,
    Cut,
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
    SampleUnits,
    Scale,
    SplitColumn,
    Store,
    Transform,
    ZeroOut,
)
from growplan.ir.rings import RingGroup, RingLaw
from growplan.ir.typing import Mistype, result_type

TENSORS = ["h.{}.w", "h.{}.b", "x.{}.experts.3.w", "emb", "law", "a b", 'q"~{{i}}', "é.{}.1"]
WORDS = st.text(st.sampled_from('abz.09-_/@~{}"\\ é\n\ue000'), min_size=1, max_size=8)
Leafed = FromLeaf | Project | Transform | AddLeaf | BlendLayers  # what reads a leaf
CUTS = st.just(Cut(0, 1)) | st.builds(Cut, st.just(0), st.just(2), st.integers(1, 2), st.booleans())
GROUPS = st.builds(
    RingGroup,
    st.just("q-stream") | WORDS,
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["h.0.w", "law"]) | WORDS, CUTS), min_size=1).map(tuple),
    st.tuples(*[st.just("s/S_L") | WORDS] * 4),
)
LAYERS = st.none() | st.integers(0, 5)
SIZES = [(), (("ffn", 4), ("hidden", 8)), (("ffn", 4), ("hidden", 9)), (("z", 1), ("a", 2))]
EDITS = st.deferred(lambda: st.dictionaries(WORDS, VALUES, max_size=2))
KINDS = ("linear", "embedding", "layernorm", "rmsnorm", "tied")


def roots() -> st.SearchStrategy[Root]:
    q = st.fractions(Fraction(1, 9), 9, max_denominator=9)
    return st.builds(lambda q, sign: Root(q * sign), q, st.sampled_from((1, -1)))


@st.composite
def expansions(draw: st.DrawFn, old: int, kinds: tuple[str, ...], whole: bool = False) -> Expansion:
    """A map on `old` units; `whole` keeps every unit."""
    runs = [Run("copy", old)] if whole else []
    for _ in range(draw(st.integers(0 if whole else 1, 3))):
        kind = draw(st.sampled_from(kinds))
        start = draw(st.integers(0, old - 1)) if kind == "copy" else 0
        count = draw(st.integers(1, old - start if kind == "copy" else 3))
        c = draw(roots()) if kind in ("copy", "mean") and draw(st.booleans()) else Root()
        runs.append(Run(kind, count, start, c))  # type: ignore[arg-type]
    return Expansion(old, tuple(draw(st.permutations(runs))))


@st.composite
def slices(draw: st.DrawFn, n: int) -> Ranges:
    marks = sorted(draw(st.sets(st.integers(0, n), min_size=2, max_size=4)))
    return tuple(zip(marks[::2], marks[1::2], strict=False))


@st.composite
def primitives(draw: st.DrawFn, shape: tuple[int, ...], tensor: str) -> Primitive:
    dim = draw(st.integers(0, len(shape) - 1))
    n = shape[dim]
    key = draw(st.sampled_from([f"0/s/{tensor}/null", f"0/s/{tensor}/rows", "own"]) | WORDS)
    gather = st.deferred(lambda: expansions(n, ("copy", "hole")))
    split = st.deferred(lambda: expansions(n, ("copy", "hole"), whole=True))
    init = st.sampled_from(["like", "normal(0.02)"])
    choices: list[st.SearchStrategy[Primitive]] = [
        st.builds(CopyLayer, st.integers(0, 4), st.integers(0, 4)),
        st.lists(WORDS, min_size=2, max_size=2, unique=True).map(lambda pair: CopyTensor(*pair)),
        st.builds(DuplicateRow, st.just(dim), gather),
        st.builds(SplitColumn, st.just(dim), split, st.just("even")),
        st.builds(SplitColumn, st.just(dim), split, st.just("uneven"), st.just(key)),
        st.builds(SplitColumn, st.just(dim), split, st.just("first")),
        st.builds(ZeroOut, st.just(dim), slices(n)),
        st.builds(Graft, st.just(dim), slices(n)),
        st.builds(Fill, roots()),
        st.builds(LnAverage, st.just(dim), slices(n), roots()),
        st.builds(Fresh, st.just(dim), slices(n), init, st.just(key)),
        st.builds(SampleUnits, st.just(dim), st.integers(1, n), st.just(key)),
        st.builds(AddNoise, st.just(dim), st.floats(0.001, 2), st.just(key)),
        st.builds(Mask, st.just(dim), slices(n), st.just("heads") | WORDS, st.integers(0, 3)),
        st.builds(Scale, roots()),
        st.builds(Resample, st.just(dim), *[st.integers(0, 2)] * 3),
        st.builds(FromLeaf, st.just(dim), slices(n)),
        st.builds(BlendLayers, st.integers(0, 3)),
        st.builds(Project, st.just(dim), st.integers(0, 1), st.integers(1, 3), st.integers(1, 2)),
        st.builds(Transform, st.just(dim), st.integers(0, 1), st.integers(1, 3), st.integers(1, 2)),
        st.just(AddLeaf()),
        st.just(CoreMatrix()),
        st.builds(Join, st.just(dim)),
        st.builds(Pack, st.just(shape[0]), st.just(shape[-1]), st.lists(CUTS, min_size=1).map(tuple)),
    ]
    over = draw(expansions(2, ("copy", "hole"), whole=True))
    if over.size == n and over.most_copies > 1:
        scale = st.sampled_from(["like", "like(0.1)", "normal(0.02)", "snr(20)", "snr(-3.5)"])
        pairing = st.sampled_from(["centred", "first", "paired"])
        choices.append(st.builds(AddNull, st.just(dim), st.just(over), pairing, scale, st.just(key)))
    if len(shape) > 1:
        other = 1 if dim == 0 else 0
        beside = draw(expansions(2, ("copy", "hole"), whole=True))
        if beside.size == shape[other]:
            own = st.builds(SplitColumn, st.just(dim), split, st.just("own"), st.just(""), st.just(beside))
            choices.append(own)
    if len(shape) == 1:
        choices.append(st.builds(RescaleNorm, roots()))
    return draw(st.one_of(choices))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to 3 steps over up to 3 layers; ids mostly as the lowering spells them."""
    graph = Graph()
    layers = draw(st.integers(1, 3))
    shapes = st.lists(st.integers(2, 4), min_size=1, max_size=3)
    model: dict[str, str] = {}
    for pattern in draw(st.lists(st.sampled_from(TENSORS), min_size=1, max_size=4, unique=True)):
        shape = tuple(draw(shapes))
        for i in range(layers if "{}" in pattern else 1):
            name = pattern.format(i)
            id = draw(st.just(f"{name}@0") | st.just(f"load {name}"))
            model[name] = graph.add(Node(id, Load(name), (), TensorType(shape, "BF16"), 0))
    graph.models.append(model)
    for k in range(1, draw(st.integers(0, 3)) + 1):
        _step(draw, graph, k)
    _store(draw, graph)
    return graph


def _step(draw: st.DrawFn, graph: Graph, k: int) -> None:
    before = graph.models[-1]
    model = dict(before)
    for tensor in draw(st.lists(st.sampled_from(sorted(before)), unique=True, max_size=4)):
        target = draw(st.just(tensor) | st.sampled_from(["h.7.w", "new"]))
        model[target] = _chain(draw, graph, target, before[tensor], k)
    for tensor in draw(st.lists(st.sampled_from(sorted(model)), unique=True, max_size=1)):
        if len(model) > 1:
            del model[tensor]
    graph.models.append(model)
    graph.steps.append(
        Step(
            index=k,
            id=draw(st.just(f"s{k}") | WORDS),
            text=draw(WORDS),
            claim=draw(st.sampled_from(["exact", "none", "exact (old vocab)"])),
            origin=draw(st.just("plan.yaml:3:1") | WORDS),
            config=tuple(SetConfig(k, v) for k, v in draw(EDITS).items()),
            sizes=draw(
                st.sampled_from(
                    [(), (("ffn", 4), ("hidden", 8)), (("ffn", 4), ("hidden", 9)), (("z", 1), ("a", 2))]
                )
            ),
            stream=draw(st.none() | expansions(3, ("copy", "mean", "zero"))),
            laws=tuple(_laws(draw, sorted({**before, **model}))),
            modules=tuple(_modules(draw)),
            provenance=tuple(
                Provenance(t, draw(st.sampled_from(sorted(before))))
                for t in draw(st.lists(st.sampled_from(sorted(model)), unique=True, max_size=2))
            ),
            layers=tuple(draw(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=6))),
            learned=tuple(_learned(draw, sorted({**before, **model}))),
            rings=tuple(_rings(draw, sorted({**before, **model}))),
            groups=tuple(draw(st.lists(GROUPS, max_size=2, unique_by=lambda group: group.name))),
        )
    )


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=3,
)


def _chain(draw: st.DrawFn, graph: Graph, tensor: str, value: str, k: int) -> str:
    base = value
    for j in range(1, draw(st.integers(0, 3)) + 1):
        op = draw(primitives(graph.nodes[value].type.shape, tensor))
        old = draw(st.just(base) | st.sampled_from([n.id for n in graph.nodes.values() if n.step <= k]))
        inputs = (value, old)[: op.arity]
        if isinstance(op, Pack):
            inputs = (value,) * len(op.cuts)
        if isinstance(op, Leafed):
            leaf = _leaf(draw, graph, f"{tensor}@{k}.{j}.leaf", op, value, k)
            inputs = (leaf, *[value] * 2) if isinstance(op, BlendLayers) else (value, leaf)
        try:
            type_ = result_type(op, tuple(graph.nodes[i].type for i in inputs))
        except Mistype:
            continue
        id = draw(st.just(f"{tensor}@{k}.{j}") | st.just(f"{tensor} {k} {j}"))
        if id not in graph.nodes and type_ is not None:
            value = graph.add(Node(id, op, inputs, type_, k))
    return value


def _leaf(draw: st.DrawFn, graph: Graph, id: str, op: Leafed, value: str, k: int) -> str:
    """A leaf that fits `op`, under a name of its own."""
    if id not in graph.nodes:
        if isinstance(op, FromLeaf):
            shape = list(graph.nodes[value].type.shape)
            shape[op.dim] = sum(b - a for a, b in op.at)
        elif isinstance(op, AddLeaf):
            shape = list(graph.nodes[value].type.shape)
        else:
            shape = [op.layer + 1, 2] if isinstance(op, BlendLayers) else [2, op.count]
        name = draw(st.just(id) | WORDS.map(lambda word: f"{word}/{id}"))
        leaf = Leaf(name, tuple(shape), "BF16", draw(st.sampled_from(["data", "trainable"])))
        graph.add(Node(id, leaf, (), TensorType(leaf.shape, leaf.dtype), k))
    return id


def _learned(draw: st.DrawFn, tensors: list[str]) -> list[LearnedLaw]:
    counts, names = st.integers(0, 2), st.sampled_from(["s/q.3", "s/q.~"]) | WORDS
    side = st.builds(Widened, counts, counts, counts, st.integers(1, 3), names, st.booleans())
    return [
        LearnedLaw(
            tensor,
            draw(st.just(tensor) | st.sampled_from(tensors)),
            draw(counts),
            draw(st.just("") | names),
            draw(counts),
            tuple(draw(st.lists(side, max_size=2))),
            draw(st.booleans()),
            draw(st.just("") | names),
            draw(st.none() | expansions(3, ("copy", "mean", "zero"))),
        )
        for tensor in draw(st.lists(st.sampled_from(tensors), unique=True, max_size=2))
    ]


def _rings(draw: st.DrawFn, tensors: list[str]) -> list[RingLaw]:
    parts = st.lists(st.tuples(st.just("q-stream") | WORDS, CUTS), min_size=1, max_size=2).map(tuple)
    laws = st.builds(RingLaw, st.sampled_from(tensors), st.integers(0, 3), parts, st.integers(0, 2))
    return draw(st.lists(laws, max_size=2, unique_by=lambda law: law.tensor))


def _laws(draw: st.DrawFn, tensors: list[str]) -> list[TensorLaw]:
    out = []
    kinds = ("copy", "mean", "zero", "free")
    for tensor in draw(st.lists(st.sampled_from(tensors), unique=True, max_size=3)):
        rows = draw(st.just(Expansion.identity(3)) | expansions(3, kinds))
        cols = draw(st.none() | st.just(Expansion.identity(4)) | expansions(4, kinds))
        row_dim, col_dim = draw(st.sampled_from([(0, 1), (1, 0), (0, None), (1, None), (2, 0)]))
        source = draw(st.just(tensor) | st.sampled_from(tensors))
        constant, given = draw(st.none() | roots()), draw(st.booleans())
        law = TensorLaw(tensor, source, rows, cols, row_dim, col_dim, constant, given)
        if law.constant is None and not law.given and draw(st.booleans()):
            slices_of = st.builds(Above, st.sampled_from(tensors), st.integers(0, 2), slices(5))
            law = BlockLaw(**vars(law), above=draw(st.none() | slices_of))
        elif draw(st.booleans()):
            law = replace(law, twins=draw(expansions(2, kinds)))
        out.append(law)
    return out


def _modules(draw: st.DrawFn) -> list[ModuleLaw]:
    maps = expansions(3, ("copy", "mean", "zero", "free"))
    law = st.builds(
        ModuleLaw,
        st.sampled_from(["h.attn", "at", "none"]) | WORDS,
        st.sampled_from(KINDS),
        LAYERS,
        LAYERS,
        st.none() | maps,
        maps,
        st.booleans(),
    )
    return draw(st.lists(law, max_size=3, unique_by=lambda m: (m.layer, m.module, m.kind)))


def _store(draw: st.DrawFn, graph: Graph) -> None:
    plain = draw(st.booleans())
    for tensor, value in graph.models[-1].items():
        id = f"store {tensor}" if plain else f"out {tensor}"
        node = Node(id, Store(tensor), (value,), graph.nodes[value].type, len(graph.steps))
        if plain or graph.steps:
            graph.stores[tensor] = graph.add(node)
