"""Matching steps: by id, by content, and what counts as a move."""

from __future__ import annotations

import random

import pytest

from growplan.compare.diff import edits
from growplan.compare.values import Added, Changed, Edit, Kept, Moved, Removed, StepFacts


def steps(words: str) -> tuple[StepFacts, ...]:
    """`a b:fpi` -> two steps; what follows the colon is the method."""
    out = []
    for index, word in enumerate(words.split(), 1):
        name, _, method = word.partition(":")
        out.append(StepFacts(name, index, word, "widen", method, ((name, 1, 2),), name))
    return tuple(out)


def brief(edit: Edit) -> str:
    match edit:
        case Added(new):
            return f"+{new.id}"
        case Removed(old):
            return f"-{old.id}"
        case Moved(_, new, changes):
            return f">{new.id}" + "!" * bool(changes)
        case Changed(_, new, _):
            return f"~{new.id}"
        case Kept(_, new):
            return new.id
    raise AssertionError(edit)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", ""),
        ("a b", "a b", "a b"),
        ("a b", "a x b", "a +x b"),
        ("a b c", "a c", "a -b c"),
        ("a b c", "c", "-a -b c"),
        ("a", "", "-a"),
        ("", "a", "+a"),
        ("a b c", "a b:lemon c", "a ~b c"),
        ("a b c", "c a b", ">c a b"),
        ("a b c d", "b c d a", "b c d >a"),
        ("a b", "b:x a", "~b >a"),
        ("a b c", "x b y", "-a +x b -c +y"),
        ("a b c d", "d x a c", ">d +x a -b c"),
    ],
)
def test_edits(old: str, new: str, expected: str) -> None:
    assert " ".join(map(brief, edits(steps(old), steps(new)))) == expected


def test_a_renamed_step_is_one_change_of_its_id() -> None:
    (old,) = steps("a")
    new = StepFacts("wider", 1, "a", "widen", "", (("a", 1, 2),), "a")
    (edit,) = edits([old], [new])
    assert isinstance(edit, Changed)
    assert [(c.field, c.old, c.new) for c in edit.changes] == [("id", "a", "wider")]


def test_every_step_of_both_sides_appears_exactly_once() -> None:
    rng = random.Random(0)
    for _ in range(200):
        old = rng.sample("abcdefgh", rng.randint(0, 8))
        new = rng.sample("abcdefgh", rng.randint(0, 8))
        found = edits(steps(" ".join(old)), steps(" ".join(new)))
        assert [e.new.id for e in found if not isinstance(e, Removed)] == new
        assert sorted(e.old.id for e in found if not isinstance(e, Added)) == sorted(old)
        still = [e.new.id for e in found if isinstance(e, (Kept, Changed))]
        assert still == sorted(still, key=old.index)
