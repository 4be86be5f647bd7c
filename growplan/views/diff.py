"""A semantic diff for people, for programs and for a pull request's comment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from growplan.compare.values import PlanDiff, StageEdit, StepEdit, TensorChange
from growplan.views import edits as words
from growplan.views.layout import columns, labelled, wrapped
from growplan.views.numbers import plural
from growplan.views.style import Style, printable

_TENSORS = 40  # folded tensors that are shown without -v


@dataclass(frozen=True)
class DiffReport:
    """What changed between two plans. `detail` shows kept steps and every rewrite."""

    diff: PlanDiff
    detail: bool = False
    kind: ClassVar[str] = "diff"

    def human(self, style: Style) -> str:
        d = self.diff
        blocks = [[style.bold(printable(f"{d.old} → {d.new}"))]]
        if not d.differs:
            blocks.append(["no difference: both plans mean the same"])
        else:
            blocks += [self._header(style), self._steps(style), self._result(style), self._tensors(style)]
        blocks.append([line for note in d.notes for line in wrapped(printable(f"note: {note}"), hang=6)])
        return "\n\n".join("\n".join(lines) for lines in blocks if lines)

    def _header(self, style: Style) -> list[str]:
        rows = [(f"~ {change.field}", words.arrow(change)) for change in self.diff.header]
        return [style.paint(line, "yellow") for line in labelled(rows)]

    def _steps(self, style: Style) -> list[str]:
        lines: list[str] = []
        for stage, steps in words.in_stages(self.diff):
            lines += [] if stage is None else _stage_lines(stage, style)
            for edit in steps:
                lines += _step_lines(edit, style, 0 if stage is None else 2)
        return lines or ["no steps"]

    def _result(self, style: Style) -> list[str]:
        old, new = self.diff.old_totals, self.diff.new_totals
        if old is None or new is None:
            return []
        rows = list(words.result_rows(old, new))
        if not rows:
            return [f"result: the same sizes, cost and claim ({new.claim})"]
        head, *lines = columns([("result", "old", "new", ""), *rows], "<>><")
        return [style.dim(head), *lines]

    def _tensors(self, style: Style) -> list[str]:
        changes: Sequence[TensorChange] | None = self.diff.tensors
        if changes is None or not changes:
            return [] if changes is None else ["tensors: all made as before"]
        count = sum(change.count for change in changes)
        changes = changes if self.detail else words.by_name(changes)
        shown = changes if self.detail else changes[:_TENSORS]
        lines = [style.dim(f"tensors made differently ({count}, {_folded(changes)} folded)")]
        for change in shown:
            lines += self._tensor(change, style)
        if len(shown) < len(changes):
            lines.append(f"  … {plural(len(changes) - len(shown), 'more line')} with -v")
        return lines

    def _tensor(self, change: TensorChange, style: Style) -> Iterator[str]:
        sign = words.TENSOR_GLYPHS[change.status]
        note = "  same rewrites, other random draws" if change.status == "redrawn" else ""
        line = f"{sign} {words.tensor_name(change)}  {words.shapes(change)}{note}"
        yield style.paint(line, words.COLORS[sign])
        if self.detail and change.status != "redrawn":
            for mark, texts in (("-", change.old), ("+", change.new)):
                for text in _only(texts, change.new if mark == "-" else change.old):
                    yield "    " + style.paint(f"{mark} {text}", words.COLORS[mark])

    def markdown(self) -> str:
        return "\n".join(_markdown(self.diff))

    def data(self) -> dict[str, Any]:
        d = self.diff
        return {
            "old": d.old,
            "new": d.new,
            "same": d.same,
            "differs": d.differs,
            "header": [asdict(change) for change in d.header],
            "edits": [_edit_data(edit) for edit in d.edits],
            "stages": [_stage_data(edit) for edit in d.stages],
            "old_totals": None if d.old_totals is None else _totals_data(d.old_totals),
            "new_totals": None if d.new_totals is None else _totals_data(d.new_totals),
            "tensors": None if d.tensors is None else [asdict(change) for change in d.tensors],
            "notes": list(d.notes),
        }


def _folded(changes: Sequence[TensorChange]) -> str:
    return "layers and experts" if any(change.experts for change in changes) else "layers"


def _only(texts: Sequence[str], others: Sequence[str]) -> Sequence[str]:
    """The rewrites that the other side lacks; all of them where only their order differs."""
    rest = [text for text in texts if text not in others]
    return rest or (texts if sorted(texts) == sorted(others) else ())


def _step_lines(edit: StepEdit, style: Style, indent: int) -> Iterator[str]:
    sign, step = words.glyph(edit), words.fact_of(edit)
    line = f"{sign} {' ' * indent}{words.place(edit):>2}  {words.title(step)}"
    yield _painted(line, sign, style)
    if sign == "+" and step.promised:
        yield f"{' ' * indent}        claim {step.promised}"
    yield from _changes(edit, 8 + indent)


def _stage_lines(edit: StageEdit, style: Style) -> Iterator[str]:
    """`~  2  stage wide: train for 300 steps`, then what changed of it."""
    sign = words.glyph(edit)
    yield _painted(
        f"{sign} {printable(words.place(edit))}. {printable(words.fact_of(edit).text)}", sign, style
    )
    yield from labelled(list(words.stage_rows(edit)), indent=8)


def _painted(line: str, sign: str, style: Style) -> str:
    color = words.COLORS.get(sign)
    return style.paint(line, color) if color else style.dim(line)


def _changes(edit: StepEdit, indent: int) -> list[str]:
    pairs = [(change.field, words.arrow(change)) for change in words.changes_of(edit)]
    return labelled(pairs, indent=indent)


# data ----------------------------------------------------------------------------------------------------


def _edit_data(edit: StepEdit) -> dict[str, Any]:
    sides = {side: _facts_data(getattr(edit, side)) for side in ("old", "new") if hasattr(edit, side)}
    changes = [asdict(change) for change in words.changes_of(edit)]
    return {"action": words.action(edit), "id": words.fact_of(edit).id, **sides, "changes": changes}


def _stage_data(edit: StageEdit) -> dict[str, Any]:
    sides = {side: asdict(getattr(edit, side)) for side in ("old", "new") if hasattr(edit, side)}
    for facts in sides.values():
        facts["training"] = dict(facts["training"])
    changes = [asdict(change) for change in words.changes_of(edit)]
    return {"action": words.action(edit), "name": words.fact_of(edit).name, **sides, "changes": changes}


def _facts_data(step: Any) -> dict[str, Any]:
    data = asdict(step)
    data["sizes"] = [{"axis": axis, "from": old, "to": new} for axis, old, new in step.sizes]
    data["options"] = dict(step.options)
    return data


def _totals_data(totals: Any) -> dict[str, Any]:
    return {**asdict(totals), "sizes": dict(totals.sizes)}


# Markdown ------------------------------------------------------------------------------------------------


def _markdown(d: PlanDiff) -> Iterator[str]:
    yield f"### `{_code(d.old)}` → `{_code(d.new)}`"
    yield ""
    if not d.differs:
        yield "No difference: both plans mean the same."
    else:
        yield from _step_table(d)
        yield from _result_table(d)
        yield from _tensor_list(d)
    for note in d.notes:
        yield ""
        yield f"> {_cell(note)}"


def _step_table(d: PlanDiff) -> Iterator[str]:
    yield "| | | step | changes |"
    yield "|---|---|---|---|"
    for change in d.header:
        yield f"| `~` | | {_cell(change.field)} | {_cell(words.arrow(change))} |"
    for stage, steps in words.in_stages(d):
        if stage is not None:
            yield _table_row(stage, words.fact_of(stage).text, words.stage_rows(stage), "**")
        for edit in steps:
            rows = [(change.field, words.arrow(change)) for change in words.changes_of(edit)]
            yield _table_row(edit, words.title(words.fact_of(edit)), rows)


def _table_row(
    edit: StepEdit | StageEdit, text: str, rows: Iterable[tuple[str, str]], strong: str = ""
) -> str:
    changes = "<br>".join(f"{_cell(field)}: {_cell(value)}" for field, value in rows)
    sign = words.glyph(edit).strip()
    mark = f"`{sign}`" if sign else ""
    return f"| {mark} | {strong}{words.place(edit)}{strong} | {strong}`{_code(text)}`{strong} | {changes} |"


def _result_table(d: PlanDiff) -> Iterator[str]:
    rows = list(words.result_rows(d.old_totals, d.new_totals)) if d.old_totals and d.new_totals else []
    if rows:
        yield ""
        yield "| result | old | new | |"
        yield "|---|---:|---:|---|"
        for row in rows:
            yield f"| {' | '.join(map(_cell, row))} |"


def _tensor_list(d: PlanDiff) -> Iterator[str]:
    if not d.tensors:
        return
    yield ""
    count = sum(change.count for change in d.tensors)
    yield f"<details><summary>{plural(count, 'tensor')} made differently</summary>"
    yield ""
    yield "```diff"
    for change in words.by_name(d.tensors):
        glyph = words.TENSOR_GLYPHS[change.status].replace("~", "!")
        yield f"{glyph} {words.tensor_name(change)}  {words.shapes(change)}"
    yield "```"
    yield ""
    yield "</details>"


def _cell(text: str) -> str:
    """Text that cannot leave its table cell."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _code(text: str) -> str:
    return printable(text).replace("`", "'").replace("|", "\\|").replace("\n", " ")


@dataclass(frozen=True)
class DiffsReport:
    """Several plans compared: all that differ between two revisions."""

    reports: Sequence[DiffReport]
    kind: ClassVar[str] = "diff"

    def human(self, style: Style) -> str:
        return "\n\n\n".join(report.human(style) for report in self.reports) or "no plan differs"

    def markdown(self) -> str:
        return "\n\n".join(report.markdown() for report in self.reports) or "No plan differs."

    def data(self) -> dict[str, Any]:
        return {"diffs": [report.data() for report in self.reports]}
