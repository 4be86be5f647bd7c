"""Steps and plans as canonical text; the hash of a plan."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from growplan.language._tables import TERMINALS
from growplan.language.draft import GrowthDraft, PartsDraft, StepDraft, TrainDraft
from growplan.language.plan import Growth, Plan, Scalar, Stage, Step, Train
from growplan.language.scalars import FLOAT, is_trap
from growplan.language.words import Word

BARE = next(pattern for name, _, pattern in TERMINALS if name == "WORD")


def bare(text: str) -> bool:
    """Whether a string may stand without quotes and still be read as this string."""
    if not re.fullmatch(BARE, text) or text in ("true", "false") or is_trap(text):
        return False
    return FLOAT.fullmatch(text) is None


def quote(text: str) -> str:
    """The text as a quoted word of the DSL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def value_text(value: Scalar) -> str:
    """A value as the DSL writes it; strings that would be read as something else get quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if bare(value) else quote(value)
    return repr(value)


def word_text(word: Word) -> str:
    """A word as the DSL writes it: bare if it was and may be, else in quotes."""
    if re.fullmatch(BARE, word.text) and (not word.quoted or bare(word.text)):
        return word.text
    return quote(word.text)


def size_text(source: object, to: object, by: object) -> str:
    """` 384→768`, ` to 768`, ` x2`, or nothing, for what follows an axis."""
    if by is not None:
        return f" {source} x{by}" if source is not None else f" x{by}"
    if to is None:
        return ""
    return f" {source}→{to}" if source is not None else f" to {to}"


def line_text(
    verb: str, sizes: Sequence[tuple[str, str]], fields: dict[str, str], options: Iterable[tuple[str, str]]
) -> str:
    """A DSL line from its parts. `sizes` are (axis, size text), `fields` the texts of FIELDS."""
    if verb == "upcycle":
        head = f"upcycle ffn{sizes[0][1]} experts"
    else:
        head = f"{verb} " + ", ".join(axis + size for axis, size in sizes)
    label = f"{fields['id']}: " if "id" in fields else ""
    clauses = [f" via {fields['via']}"] if "via" in fields else []
    clauses += [f" over {fields['over']} steps"] if "over" in fields else []
    clauses += [f" on {fields['on']}"] if "on" in fields else []
    clauses += [f" for {fields['steps']} steps"] if "steps" in fields else []
    clauses += [f", {key} {value}" for key, value in options]
    clauses += [f", expect {fields['expect']}"] if "expect" in fields else []
    return label + head + "".join(clauses)


def step_text(step: Step, growths: Sequence[Growth] | None = None, *, label: bool = False) -> str:
    """The DSL line of a step: `widen hidden 384→768 via fpi, split even`.

    `growths` stand in for the step's own (with the sizes that the checker found); `label` puts
    the step's id in front.
    """
    shown = step.growths if growths is None else growths
    sizes = [(g.axis, size_text(g.source, g.to, g.by)) for g in shown]
    fields = {
        key: str(value)
        for key in ("via", "over", "steps", "expect")
        if (value := getattr(step, key)) is not None
    }
    if step.on is not None:
        fields["on"] = value_text(step.on)
    if label and step.id:
        fields["id"] = step.id
    return line_text(step.verb, sizes, fields, [(k, value_text(v)) for k, v in step.options.items()])


def train_text(train: Train, *, short: bool = False) -> str:
    """The DSL statement of a training: `train on corpus.txt for 300 steps, lr 0.001`.

    `short` writes its length as `20k steps`, `2.5M tokens`, where that is exact.
    """
    length = length_text(train, short=short)
    on = None if train.on is None else value_text(train.on)
    return training_line(on, length, [(key, value_text(value)) for key, value in train.options.items()])


def length_text(train: Train, *, short: bool = False) -> str | None:
    """`300 steps`, `2.5M tokens`; None where a training has no length of its own."""
    for number, unit in ((train.steps, "steps"), (train.tokens, "tokens")):
        if number is not None:
            return f"{_short(number) if short else number} {unit}"
    return None


def _short(number: int) -> str:
    """A number with B, M or k where at most two digits then stand behind the point: 245.37B."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        hundredths, rest = divmod(number * 100, size)
        if number >= size and not rest:
            whole, part = divmod(hundredths, 100)
            return f"{whole}.{part:02d}".rstrip("0").rstrip(".") + letter
    return str(number)


def training_line(on: str | None, length: str | None, options: Sequence[tuple[str, str]]) -> str:
    """A `train` statement from its parts."""
    clauses = [f"on {on}"] * (on is not None) + [f"for {length}"] * (length is not None)
    settings = [f"{key} {value}" for key, value in options]
    return " ".join(["train", ", ".join([*[" ".join(clauses)] * bool(clauses), *settings])]).rstrip()


def parts_text(key: str, parts: Sequence[str]) -> str:
    """`train-only top 3, head`."""
    return f"{key} " + ", ".join(" ".join(map(_part_word, part.split())) for part in parts)


def _part_word(word: str) -> str:
    return word if re.fullmatch(BARE, word) else quote(word)


def training_words(train: TrainDraft) -> list[tuple[str, Word]]:
    """The keys of a training as written, `on` and its length (`for`) first."""
    entries = train.entries
    first = [(key, entries[key].value) for key in ("on", "for") if key in entries]
    words = [*first, *((k, e.value) for k, e in entries.items() if k not in ("on", "for"))]
    return [(k, replace(w, text=" ".join(w.text.split())) if k == "for" else w) for k, w in words]


def training_draft_text(train: TrainDraft) -> str:
    """The DSL statement of a training as it was written, in canonical order and spacing."""
    words = dict(training_words(train))
    on = word_text(words.pop("on")) if "on" in words else None
    length = words.pop("for").text if "for" in words else None
    return training_line(on, length, [(key, word_text(word)) for key, word in words.items()])


def parts_draft_text(parts: PartsDraft) -> str:
    """`freeze` or `train-only` as a DSL statement."""
    return parts_text(parts.key.text, [word.text for word in parts.words])


def stage_lines(plan: Plan, stage: Stage, *, steps: bool = True, short: bool = True) -> list[str]:
    """The DSL statements of a stage, its training with all that the plan's `train` adds to it.

    `steps=False` leaves its steps out; `short`: see `train_text`.
    """
    train = plan.training(stage)
    return [
        f"stage {stage.name}",
        *(step_text(step, label=True) for step in stage.steps if steps),
        *(
            parts_text(key, parts)
            for key, parts in (("freeze", stage.freeze), ("train-only", stage.train_only))
            if parts
        ),
        *([] if train is None else [train_text(train, short=short)]),
    ]


def draft_text(step: StepDraft) -> str:
    """The DSL line of a step as it was written, in canonical order and spacing."""
    sizes = [(g.axis.text, _draft_size(g)) for g in step.growths]
    own = ("id", "via", "over", "expect") + (("on", "steps") if step.verb.text == "grow" else ())
    texts = {key: word_text(entry.value) for key, entry in step.entries.items()}
    fields = {key: texts[key] for key in own if key in texts}
    return line_text(step.verb.text, sizes, fields, [(k, v) for k, v in texts.items() if k not in own])


def _draft_size(growth: GrowthDraft) -> str:
    words = (growth.source, growth.to, growth.by)
    return size_text(*(None if word is None else word.text for word in words))


def canonical(plan: Plan) -> str:
    """The content of a plan, one spelling for all: what its hash is taken of.

    Left out: the target, the user's own keys, old sizes that a step states (they are checked, not
    chosen). Every step carries its id, every stage the whole of its training; options and parts are sorted.
    """
    lines = ["growplan 1"]
    lines += [
        f"{key} {quote(value)}" for key in ("source", "family") if (value := getattr(plan, key)) is not None
    ]
    lines.append(f"seed {plan.seed}")
    lines += [step_text(_chosen(step), label=True) for step in plan.steps]
    for stage in plan.stages:
        train = plan.training(stage)
        if train is not None:
            train = train.model_copy(update={"options": dict(sorted(train.options.items()))})
        whole = {
            "steps": tuple(map(_chosen, stage.steps)),
            "train": train,
            "freeze": tuple(sorted(stage.freeze)),
            "train_only": tuple(sorted(stage.train_only)),
        }
        lines += stage_lines(Plan(), stage.model_copy(update=whole), short=False)
    return "\n".join(lines) + "\n"


def _chosen(step: Step) -> Step:
    """A step without the old sizes that it states, its options sorted."""
    growths = tuple(Growth(axis=g.axis, to=g.to, by=g.by) for g in step.growths)
    return step.model_copy(update={"growths": growths, "options": dict(sorted(step.options.items()))})


def plan_hash(plan: Plan) -> str:
    """SHA-256 of the canonical text, as hex."""
    return hashlib.sha256(canonical(plan).encode()).hexdigest()
