"""Lists: methods and families, and one of them in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from growplan.families.model import NORMS, Family
from growplan.methods.base import Ask, Method
from growplan.views.layout import columns, labelled
from growplan.views.names import claim_data
from growplan.views.style import Style


@dataclass(frozen=True)
class MethodsReport:
    """Every method in a line or two."""

    methods: Sequence[Method]
    kind: ClassVar[str] = "methods"

    def human(self, style: Style) -> str:
        rows = [
            (m.name, " ".join(m.verbs), str(m.claim(Ask(m.axes[:1]))), ", ".join(m.axes) or "depth")
            for m in self.methods
        ]
        head, *lines = columns([("method", "verbs", "claims", "axes"), *rows])
        return "\n".join([style.dim(head), *lines, "", "`growplan methods NAME` shows options and the paper"])

    def data(self) -> dict[str, Any]:
        return {"methods": [_method_data(m) for m in self.methods]}


@dataclass(frozen=True)
class MethodReport:
    """One method with its options."""

    method: Method
    kind: ClassVar[str] = "method"

    def human(self, style: Style) -> str:
        m = self.method
        facts = [
            ("what", m.title),
            ("verbs", ", ".join(m.verbs)),
            ("axes", ", ".join(m.axes) or "depth"),
            ("claims", str(m.claim(Ask(m.axes[:1])))),
            ("paper", m.paper),
        ]
        lines = [style.bold(m.name), *labelled([f for f in facts if f[1]], indent=2)]
        if m.options:
            options = [(o.name, f"{o.doc} (default {o.default}{_choices(o.choices)})") for o in m.options]
            lines += ["", "  options", *labelled(options, indent=4)]
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        return _method_data(self.method)


def _choices(choices: tuple[str, ...]) -> str:
    return f"; one of {', '.join(choices)}" if choices else ""


def _method_data(m: Method) -> dict[str, Any]:
    return {
        "name": m.name,
        "title": m.title,
        "paper": m.paper,
        "verbs": list(m.verbs),
        "axes": list(m.axes),
        "claim": claim_data(m.claim(Ask(m.axes[:1]))),
        "options": [
            {"name": o.name, "default": o.default, "doc": o.doc, "choices": list(o.choices)}
            for o in m.options
        ],
    }


@dataclass(frozen=True)
class FamiliesReport:
    """Every family in a line."""

    families: Sequence[Family]
    kind: ClassVar[str] = "families"

    def human(self, style: Style) -> str:
        rows = [("family", "model_type", "axes")]
        for f in self.families:
            types = ", ".join(map(str, f.requires.get("model_type", ())))
            rows.append((f.name, types, ", ".join(rule.axis for rule in f.sizes)))
        head, *lines = columns(rows)
        return "\n".join([style.dim(head), *lines, "", "`growplan families NAME` shows one in full"])

    def data(self) -> dict[str, Any]:
        return {"families": [_family_data(f) for f in self.families]}


@dataclass(frozen=True)
class FamilyReport:
    """One family: classes, axes, equations, modules."""

    family: Family
    kind: ClassVar[str] = "family"

    def human(self, style: Style) -> str:
        f = self.family
        facts = [("classes", ", ".join(c.architecture for c in f.classes))]
        facts += [("where", f"{left} = {right}") for left, right in f.equations]
        facts += [("where", f"{left} divides by {right}") for left, right in f.constraints]
        facts += [("keeps", f"{left} = {right}, if so in the source") for left, right in f.keeps]
        sizes = [(r.axis, r.key or "", f"= {r.default}" if r.default else "") for r in f.sizes]
        modules = [(m.name, m.kind, _signature(m.ins, m.outs)) for m in f.modules]
        lines = [style.bold(f.name), *labelled(facts, indent=2), "", "  axes and their config keys"]
        lines += columns(sizes, indent=4)
        return "\n".join([*lines, "", "  modules", *columns(modules, indent=4)])

    def data(self) -> dict[str, Any]:
        return _family_data(self.family)


def _signature(ins: object, outs: object) -> str:
    return f"{outs}" if ins is None else f"{ins} → {outs}"


def _family_data(f: Family) -> dict[str, Any]:
    return {
        "name": f.name,
        "requires": {key: list(values) for key, values in f.requires.items()},
        "classes": [c.architecture for c in f.classes],
        "axes": [{"axis": r.axis, "key": r.key, "default": r.default} for r in f.sizes],
        "equations": [list(pair) for pair in f.equations],
        "constraints": [list(pair) for pair in f.constraints],
        "keeps": [list(pair) for pair in f.keeps],
        "modules": [
            {
                "name": m.name,
                "kind": m.kind,
                "in": None if m.ins is None else str(m.ins),
                "out": str(m.outs),
                "norm": m.kind in NORMS,
                "in_layer": m.in_layer,
            }
            for m in f.modules
        ],
    }
