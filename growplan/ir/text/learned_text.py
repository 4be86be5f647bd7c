"""The text of a learned law.

learned of 6 layers of h.0.attn.q.weight by ligo/depth/h.attn.q.weight row {i},
      dim 0 at 0:512 by ligo/q.{i}
"""

from __future__ import annotations

from growplan.ir.graph import LearnedLaw
from growplan.ir.text import words
from growplan.ir.text.fold import mark_number


def learned_text(law: LearnedLaw, home: str | None) -> str:
    """A law as the clause of a statement that starts from the tensor `home`."""
    text = "learned"
    if law.layers or law.depth or law.row or law.source != home:
        text += f" of {law.layers} layers" * bool(law.layers) + f" of {words.name(law.source)}"
    if law.depth or law.row:
        text += f" by {words.name(law.depth)} row {mark_number(law.row)}"
    sides = (words.section(s.dim, s.start, s.count, s.inner) + f" by {words.name(s.leaf)}" for s in law.sides)
    text = ",\n   ".join([text, *sides])
    return text + ", widened first" * law.widened_first
