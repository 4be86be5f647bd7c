"""The text of a learned law.

learned of 6 layers of h.0.attn.q.weight by ligo/depth/h.attn.q.weight row {i},
      dim 0 at 0:512 by ligo/q.{i}
"""

from __future__ import annotations

from growplan.ir.graph import LearnedLaw, Widened
from growplan.ir.rings import RingGroup, RingLaw
from growplan.ir.text import words
from growplan.ir.text.fold import mark_number
from growplan.ir.text.names import Names


def learned_text(law: LearnedLaw, home: str | None, names: Names) -> str:
    """A law as the clause of a statement that starts from the tensor `home`."""
    text = "learned"
    if law.layers or law.depth or law.row or law.source != home:
        text += f" of {law.layers} layers" * bool(law.layers) + f" of {words.name(law.source)}"
    if law.depth or law.row:
        text += f" by {words.name(law.depth)} row {mark_number(law.row)}"
    text += "" if law.rows is None else f" rows {names.map(law.rows)}"
    rows = [text, *map(_side, law.sides)]
    rows += [f" plus {words.name(law.residual)}"] if law.residual else []
    return ",\n   ".join(rows) + ", widened first" * law.widened_first


def _side(side: Widened) -> str:
    at = words.section(side.dim, side.start, side.count, side.inner)
    return f"{at}{' whole' * side.whole} by {words.name(side.leaf)}"


def group_text(group: RingGroup) -> str:
    """A group of blocks as a field of its step."""
    members = ",\n      ".join(
        words.word(name) + words.cut(cut, cut.start, cut.start + cut.down * group.rows)
        for name, cut in group.members
    )
    cores = ", ".join(map(words.word, group.cores))
    head = f"  group {words.word(group.name)} of {group.layers} layers"
    return f"{head}\n    by {cores}\n    pack {group.rows} by {group.cols}\n      {members}"


def ring_text(law: RingLaw) -> str:
    """A law of blocks as the clause of a statement: `ring {i} of stream-stream at 0:3 transposed`."""
    parts = (f"of {words.name(name)}" + words.cut(cut, cut.start, cut.stop) for name, cut in law.parts)
    joined = f" joined dim {law.dim}" if law.dim else ""
    return f"ring {mark_number(law.layer)} " + ", ".join(parts) + joined
