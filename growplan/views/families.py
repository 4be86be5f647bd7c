"""Lists of families: every one in a line, or one in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from growplan.check.resolve import GROWABLE
from growplan.families.model import NORMS, Family
from growplan.views.layout import columns, labelled
from growplan.views.names import axes_in_order
from growplan.views.style import Style

READS = {"text": "token ids", "image": "pixels"}


@dataclass(frozen=True)
class FamiliesReport:
    """Every family in a line."""

    families: Sequence[Family]
    kind: ClassVar[str] = "families"

    def human(self, style: Style) -> str:
        rows = [("family", "reads", "norm", "axes that grow")]
        rows += [(_named(f), READS[f.input], _norms(f), " ".join(growing(f))) for f in self.families]
        head, *lines = columns(rows)
        return "\n".join([style.dim(head), *lines, "", "`growplan families NAME` shows one in full"])

    def data(self) -> dict[str, Any]:
        return {"families": [_family_data(f) for f in self.families]}


def _named(family: Family) -> str:
    """`roberta (xlm-roberta)`: the family, and other model_types that it is."""
    others = [str(t) for t in family.requires.get("model_type", ()) if t != family.name]
    return family.name + (f" ({', '.join(others)})" if others else "")


def growing(family: Family) -> list[str]:
    """The axes that a plan can grow."""
    return axes_in_order({rule.axis: 0 for rule in family.sizes if rule.axis in GROWABLE})


def _norms(family: Family) -> str:
    kinds = dict.fromkeys(m.kind for m in family.modules if m.kind in NORMS)
    return ", ".join(kinds)


@dataclass(frozen=True)
class FamilyReport:
    """One family: classes, axes, equations, modules."""

    family: Family
    kind: ClassVar[str] = "family"

    def human(self, style: Style) -> str:
        f = self.family
        facts = [("reads", READS[f.input])]
        facts += [("classes", ", ".join(dict.fromkeys(c.architecture for c in f.classes)))]
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
        "reads": f.input,
        "grows": growing(f),
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
