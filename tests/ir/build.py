"""Hand-made graphs, in the shape that the lowering gives them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from growplan.algebra import ONE, Expansion, Root
from growplan.ir.graph import (
    Above,
    Graph,
    ModuleLaw,
    SetConfig,
    TensorLaw,
)
from growplan.ir.primitives import (
    CopyLayer,
    Fill,
    FromLeaf,
    ZeroOut,
)
from tests.ir.builder import Builder, E

HIDDEN, NEW = 8, 12


def _tiny(layers: int) -> Builder:
    tensors: dict[str, tuple[int, ...]] = {"wte.weight": (11, HIDDEN), "wpe.weight": (5, HIDDEN)}
    for i in range(layers):
        tensors |= {
            f"h.{i}.ln_1.weight": (HIDDEN,),
            f"h.{i}.ln_1.bias": (HIDDEN,),
            f"h.{i}.attn.c_attn.weight": (HIDDEN, 3 * HIDDEN),
            f"h.{i}.attn.c_attn.bias": (3 * HIDDEN,),
            f"h.{i}.attn.c_proj.weight": (HIDDEN, HIDDEN),
            f"h.{i}.attn.c_proj.bias": (HIDDEN,),
        }
    return Builder(tensors)


def widen_by_mean(b: Builder, layers: int) -> None:
    """`widen hidden 8→12 via fpi` under a pre-norm LayerNorm: mean rows."""
    stream = E(HIDDEN, ("copy", HIDDEN), ("mean", NEW - HIDDEN))
    normed = stream.map_kind("mean", "zero")
    factor = Root(Fraction(HIDDEN, NEW))
    b.linear("wte.weight", stream, None, row_dim=1)
    b.linear("wpe.weight", stream, None, row_dim=1)
    for i in range(layers):
        h = f"h.{i}"
        free = E(HIDDEN, ("copy", HIDDEN), ("free", NEW - HIDDEN))
        b.linear(f"{h}.ln_1.weight", free, None, norm=factor)
        b.linear(f"{h}.ln_1.bias", normed, None)
        b.linear(f"{h}.attn.c_attn.weight", None, normed, row_dim=1)
        b.linear(f"{h}.attn.c_proj.weight", stream, None, row_dim=1)
        b.linear(f"{h}.attn.c_proj.bias", stream, None)
        b.modules += [
            ModuleLaw("h.ln_1", "layernorm", i, i, stream, normed),
            ModuleLaw("h.attn.c_attn", "linear", i, i, normed, Expansion.identity(3 * HIDDEN)),
            ModuleLaw("h.attn.c_proj", "linear", i, i, Expansion.identity(HIDDEN), stream),
        ]
    config = (SetConfig("layer_norm_epsilon", 6.666666666666667e-06), SetConfig("n_embd", NEW))
    b.end("widen-hidden", "widen hidden 8→12 via fpi", config=config, sizes=(("hidden", NEW),), stream=stream)


def widen_heads(b: Builder, layers: int, width: int) -> None:
    """`widen heads 2→3` (uneven copies of whole heads of 4), uneven shares in the out-projection."""
    heads = E(2, ("copy", 2), ("copy", 1)) * Expansion.identity(4)
    fused = heads + heads + heads
    for i in range(layers):
        h = f"h.{i}.attn"
        b.linear(f"{h}.c_attn.weight", fused, None, row_dim=1)
        b.linear(f"{h}.c_attn.bias", fused, None)
        b.linear(f"{h}.c_proj.weight", None, heads, row_dim=1, shares="uneven")
    b.end("heads", "widen heads 2→3 via fpi", sizes=(("heads", 3), ("hidden", width)))


def mask_heads(b: Builder, layers: int) -> None:
    """`mask-in heads 2→3`: a free head, its out-projection columns masked."""
    heads = E(2, ("copy", 2), ("free", 1)) * Expansion.identity(4)
    for i in range(layers):
        h = f"h.{i}.attn"
        b.linear(f"{h}.c_attn.weight", heads + heads + heads, None, row_dim=1)
        b.linear(f"{h}.c_attn.bias", heads + heads + heads, None)
        b.linear(f"{h}.c_proj.weight", None, heads, row_dim=1, masked=True)
    b.end("mask", "mask-in heads 2→3, over 100 steps")


def learned(layers: int = 2) -> Graph:
    """`widen ffn via gradmax` in the shape of an out-projection: new units read 0, leaves write them out."""
    b = _tiny(layers)
    e = E(HIDDEN, ("copy", 5), ("zero", 3), ("copy", 3, 5), ("zero", 1))
    for i in range(layers):
        b.linear(f"h.{i}.attn.c_proj.weight", None, e, row_dim=1 - i % 2, leaf=True)
    b.end("s1", "widen ffn 8→12 via gradmax")
    return b.done()


def deepen(b: Builder, sources: Sequence[tuple[int, bool]], id: str, text: str, claim: str) -> None:
    """Layer i of the new model is sources[i] of the old, silent or not."""
    leaves = sorted({name.split(".", 2)[2] for name in b.before if name.startswith("h.")})
    kept = {name: value for name, value in b.before.items() if not name.startswith("h.")}
    for i, (source, silent) in enumerate(sources):
        for leaf in leaves:
            mute = silent and "c_proj" in leaf
            b.copy(f"h.{i}.{leaf}", f"h.{source}.{leaf}", (source, i) if i != source else None, mute)
    b.model |= kept
    b.end(id, text, claim, sizes=(("depth", len(sources)),), layers=tuple(sources))


def mean_then_stack(layers: int = 3) -> Graph:
    b = _tiny(layers)
    widen_by_mean(b, layers)
    deepen(b, [(i % layers, False) for i in range(2 * layers)], "stack", "stack depth x2", "none")
    return b.done()


def heads_then_identity(layers: int = 3) -> Graph:
    b = _tiny(layers)
    widen_heads(b, layers, HIDDEN)
    sources = [(i // 2, i % 2 == 1) for i in range(2 * layers)]
    deepen(b, sources, "deepen", "deepen depth x2 via identity", "exact")
    return b.done()


def masked(layers: int = 2) -> Graph:
    b = _tiny(layers)
    mask_heads(b, layers)
    return b.done()


def doubled_twice(layers: int = 2) -> Graph:
    """Even copies, two times: 8→16→32 on the stream."""
    b = _tiny(layers)
    for step in range(2):
        n = HIDDEN << step
        e = Expansion.circular(n, 2 * n)
        for name in ("wte.weight", "wpe.weight"):
            b.linear(name, e, None, row_dim=1)
        for i in range(layers):
            for leaf in ("ln_1.weight", "ln_1.bias", "attn.c_proj.bias"):
                b.linear(f"h.{i}.{leaf}", e, None)
            b.linear(f"h.{i}.attn.c_attn.weight", None, e, row_dim=1)
            b.linear(f"h.{i}.attn.c_proj.weight", e, None, row_dim=1)
        b.end(f"double{step}", f"widen hidden {n}→{2 * n} via fpi", stream=e, sizes=(("hidden", 2 * n),))
    return b.done()


def random_widening(layers: int = 2) -> Graph:
    """A random map with several copies of a unit, uneven, zero rows, scaled copies."""
    b = _tiny(layers)
    g = [0, 1, 2, 3, 4, 5, 6, 7, 3, 3, 5, 0, 1]
    e = E(HIDDEN, *[("copy", 1, u) for u in g], ("zero", 2))
    for i in range(layers):
        b.linear(f"h.{i}.attn.c_proj.weight", e, None, row_dim=1)
        b.linear(f"h.{i}.attn.c_attn.weight", None, e, row_dim=1, shares="uneven" if i else "even")
    b.linear("wte.weight", e.scaled(Root(Fraction(1, 2))), None, row_dim=1)
    b.end("random", "widen hidden 8→15 via bert2bert", "approximate")
    return b.done()


def block_diagonal(layers: int = 2) -> Graph:
    """Each copy reads its own, fused and stored both ways; rows with one copy among the others."""
    shapes = {"c_attn.weight": (HIDDEN, 3 * HIDDEN), "c_proj.weight": (HIDDEN, HIDDEN)}
    b = Builder({f"h.{i}.attn.{leaf}": shape for i in range(layers) for leaf, shape in shapes.items()})
    heads, stream = Expansion.circular(2, 4) * Expansion.identity(4), Expansion.circular(HIDDEN, 2 * HIDDEN)
    part = E(HIDDEN, ("copy", HIDDEN), ("copy", 4, 2))
    for i in range(layers):
        b.linear(f"h.{i}.attn.c_attn.weight", heads + heads + heads, stream, row_dim=1, shares="own")
        b.linear(f"h.{i}.attn.c_proj.weight", part, heads, row_dim=i % 2, shares="own")
    b.end("staged", "grow hidden 8→16, heads 2→4 via staged")
    return b.done()


def noisy(layers: int = 2) -> Graph:
    """Centred and paired null terms over even and uneven copies, scaled ones among them."""
    shapes = {"c_attn.weight": (HIDDEN, 3 * HIDDEN), "c_proj.weight": (HIDDEN, HIDDEN)}
    b = Builder({f"h.{i}.attn.{leaf}": shape for i in range(layers) for leaf, shape in shapes.items()})
    heads = E(2, ("copy", 2), ("copy", 1)) * Expansion.identity(4)
    stream = E(HIDDEN, ("copy", HIDDEN), ("copy", HIDDEN, 0, Root.rational(3)), ("copy", 4, 2), ("zero", 2))
    for i in range(layers):
        shares = "uneven" if i else "even"
        b.linear(f"h.{i}.attn.c_proj.weight", None, heads, row_dim=1, shares=shares, noise="centred")
        b.linear(f"h.{i}.attn.c_attn.weight", None, stream, row_dim=1, shares=shares, noise="paired")
    b.end("noisy", "widen hidden 8→22 via hypercloning")
    return b.done()


def grafted(layers: int = 3) -> Graph:
    """`widen hidden 8→12, heads 2→3 via aki`: new rows of the layer above, then once more on columns."""
    b = _tiny(layers)
    e = E(HIDDEN, ("copy", HIDDEN), ("copy", 1, 5), ("copy", 1, 2), ("copy", 1, 2), ("copy", 1, 7))
    heads = E(2, ("copy", 2), ("copy", 1, 1)) * Expansion.identity(4)
    above: dict[str, Above] = {}
    b.linear("wte.weight", e, None, row_dim=1)
    for i in range(layers):
        h, up = f"h.{i}", f"h.{i + 1}"
        b.linear(f"{h}.ln_1.weight", e, None)
        b.linear(f"{h}.ln_1.bias", e, None)
        b.linear(f"{h}.attn.c_attn.weight", heads + heads + heads, e, row_dim=1)
        b.linear(f"{h}.attn.c_attn.bias", heads + heads + heads, None)
        b.linear(f"{h}.attn.c_proj.weight", e, heads, row_dim=1)
        b.linear(f"{h}.attn.c_proj.bias", e, None)
        if i + 1 < layers:
            new = ((8, 12), (20, 24), (32, 36))
            above |= {
                f"{h}.attn.c_attn.weight": Above(f"{up}.attn.c_attn.weight", 1, new),
                f"{h}.attn.c_attn.bias": Above(f"{up}.attn.c_attn.bias", 0, new),
                f"{h}.attn.c_proj.weight": Above(f"{up}.attn.c_proj.weight", 0, ((8, 12),)),
            }
    b.block_laws(above)
    b.end("aki", "grow hidden 8→12, heads 2→3 via aki", "none", stream=e)
    return b.done()


def moved_norm(layers: int = 2) -> Graph:
    """A silent block after every layer, whose norm is plain; the block carries the old one."""
    b = _tiny(layers)
    leaves = sorted({name.split(".", 2)[2] for name in b.before if name.startswith("h.")})
    for i in range(2 * layers):
        source, silent = i // 2, i % 2 == 1
        for leaf in leaves:
            if silent or "ln_1" not in leaf:
                layer = (source, i) if i != source else None
                b.copy(f"h.{i}.{leaf}", f"h.{source}.{leaf}", layer, silent and "c_proj" in leaf)
                continue
            plain = Fill(ONE) if leaf.endswith("weight") else ZeroOut(0, ((0, HIDDEN),))
            ops = [CopyLayer(source, i)] if i != source else []
            b.make(f"h.{i}.{leaf}", [*ops, plain], f"h.{source}.{leaf}")
            rows = Expansion.identity(HIDDEN) if leaf.endswith("weight") else E(HIDDEN, ("zero", HIDDEN))
            constant = ONE if leaf.endswith("weight") else None
            b.laws.append(TensorLaw(f"h.{i}.{leaf}", f"h.{source}.{leaf}", rows, None, 0, None, constant))
    b.model |= {name: value for name, value in b.before.items() if not name.startswith("h.")}
    layers_of = tuple((i // 2, i % 2 == 1) for i in range(2 * layers))
    sizes = (("depth", 2 * layers),)
    b.end("deepen", "deepen depth x2 via identity", "approximate", sizes=sizes, layers=layers_of)
    return b.done()


def predicted(layers: int = 2) -> Graph:
    """A layer after the first whose matrices come from leaves, and the rest of it from layer 0."""
    b = _tiny(layers)
    leaves = sorted({name.split(".", 2)[2] for name in b.before if name.startswith("h.")})
    sources = (0, 0, *range(1, layers))
    for i, source in enumerate(sources):
        for leaf in leaves:
            tensor, old, at = f"h.{i}.{leaf}", f"h.{source}.{leaf}", (source, i) if i != source else None
            if i != 1 or len(b.shape(old)) == 1:
                b.copy(tensor, old, at, False)
                continue
            rows, cols = b.shape(old)[::-1]  # stored in-out
            b.make(tensor, [CopyLayer(source, i), FromLeaf(1, ((0, rows),))], old)
            free, same = E(rows, ("free", rows)), Expansion.identity(cols)
            b.laws.append(TensorLaw(tensor, old, free, same, 1, 0, given=True))
    b.model |= {name: value for name, value in b.before.items() if not name.startswith("h.")}
    sizes, layers_of = (("depth", layers + 1),), tuple((source, False) for source in sources)
    b.end("s1", "deepen depth via lesa", "none", sizes=sizes, layers=layers_of)
    return b.done()


GRAPHS = {
    "predicted": predicted,
    "moved_norm": moved_norm,
    "mean_then_stack": mean_then_stack,
    "heads_then_identity": heads_then_identity,
    "masked": masked,
    "learned": learned,
    "doubled_twice": doubled_twice,
    "random_widening": random_widening,
    "block_diagonal": block_diagonal,
    "noisy": noisy,
    "grafted": grafted,
}
