"""Lists of methods: every one in a few lines, or one in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from growplan.methods.base import Ask, Claim, Method, Option
from growplan.views.layout import labelled, wrapped
from growplan.views.names import claim_data
from growplan.views.style import Style

# what a method is for, by the first of its verbs that stands here
SECTIONS = {
    "widen": "width",
    "mask-in": "masks",
    "stack": "depth: copies of layers",
    "deepen": "depth: inserted layers",
    "upcycle": "mixtures of experts",
    "grow": "several axes at once",
}
WEAKER = ("exact", "approximate", "none")


@dataclass(frozen=True)
class MethodsReport:
    """Every method in a few lines: what it does, what it claims, the defaults of its options, its paper."""

    methods: Sequence[Method]
    kind: ClassVar[str] = "methods"

    def human(self, style: Style) -> str:
        blocks = []
        for verb, title in SECTIONS.items():
            found = [m for m in self.methods if section(m) == verb]
            if found:
                lines = [line for method in found for line in _short(method, style)]
                blocks.append("\n".join([style.bold(title), *lines]))
        blocks.append("`growplan methods NAME` shows one in full")
        return "\n\n".join(blocks)

    def data(self) -> dict[str, Any]:
        return {"methods": [method_data(m) for m in self.methods]}


def section(method: Method) -> str:
    """The verb whose section a method stands in."""
    return next((verb for verb in SECTIONS if verb in method.verbs), "grow")


def _short(method: Method, style: Style) -> Iterator[str]:
    """`  fpi       exact   what it does`, and below it axes, defaults and paper."""
    reach = 14
    claim, exceptions = claims(method)
    yield f"  {style.bold(method.name)}{' ' * (reach - len(method.name))}{style.strength(claim)}{exceptions}"
    defaults = ", ".join(f"{o.name} {o.default}".strip() for o in method.options)
    rows = [method.title, method.paper, f"options: {defaults}" if defaults else ""]
    for number, row in enumerate(filter(None, rows)):
        for line in wrapped(row, 2 + reach, 2 + reach, columns=style.columns):
            yield line if number == 0 else style.dim(line)


def claims(method: Method) -> tuple[str, str]:
    """What a method claims without options: the usual strength, and where it is another.

    (`exact`, ``), (`exact`, `; approximate: hidden`), (`exact`, `; approximate under post-norm`).
    """
    axes = [*method.axes, *(["depth"] if {"stack", "deepen"} & set(method.verbs) else [])]
    found = {axis: _claim(method, axis, False).strength for axis in axes or ["depth"]}
    usual = max(found.values(), key=lambda s: ([*found.values()].count(s), -WEAKER.index(s)))
    tail = ""
    for strength in WEAKER:
        where = [axis for axis, s in found.items() if s == strength]
        if strength != usual and where:
            tail += f"; {strength}: {', '.join(where)}"
    after = {axis: _claim(method, axis, True).strength for axis in found}
    moved = [axis for axis in found if after[axis] != found[axis]]
    for strength in dict.fromkeys(after[axis] for axis in moved):
        named = [axis for axis in moved if after[axis] == strength]
        what = "" if len(named) == len(found) else f": {', '.join(named)}"
        tail += f"; {strength} under post-norm{what}"
    return usual, tail


def _claim(method: Method, axis: str, post_norm: bool) -> Claim:
    return method.claim(Ask((axis,), {}, post_norm))


@dataclass(frozen=True)
class MethodReport:
    """One method: facts, how it makes units or layers (`doc`, its module's words), options."""

    method: Method
    doc: str
    kind: ClassVar[str] = "method"

    def human(self, style: Style) -> str:
        m = self.method
        facts = [
            ("what", m.title),
            ("verbs", ", ".join(m.verbs)),
            ("axes", ", ".join(m.axes) or "depth"),
            ("claims", "".join(claims(m))),
            ("paper", m.paper),
            ("after", m.training),
        ]
        lines = [style.bold(m.name), *labelled([f for f in facts if f[1]], indent=2)]
        _, _, rest = self.doc.partition("\n\n")
        lines += ["", *(f"  {line}".rstrip() for line in rest.splitlines())] if rest else []
        if m.options:
            lines += ["", "  options", *labelled([(o.name, _described(o)) for o in m.options], indent=4)]
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        return {**method_data(self.method), "doc": self.doc}


def _described(option: Option) -> str:
    words = [*option.choices, *(["a number"] if option.range else [])]
    some = f"; {'one of ' if len(words) > 1 else ''}{', '.join(words)}" if words else ""
    return option.doc if option.default == "" else f"{option.doc} (default {option.default}{some})"


def method_data(m: Method) -> dict[str, Any]:
    """A method as plain values."""
    usual, exceptions = claims(m)
    return {
        "name": m.name,
        "title": m.title,
        "paper": m.paper,
        "verbs": list(m.verbs),
        "axes": list(m.axes),
        "claim": claim_data(m.claim(Ask(m.axes[:1]))),
        "claims": usual + exceptions,
        "training": m.training,
        "options": [
            {
                "name": o.name,
                "default": o.default,
                "doc": o.doc,
                "choices": list(o.choices),
                "counts": o.counts or None,
            }
            for o in m.options
        ],
    }
