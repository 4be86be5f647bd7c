"""What a family file says of a mixture: the modules of an expert, and the dense models it is made from."""

from __future__ import annotations

from collections.abc import Mapping

from growplan.families.model import Module
from growplan.families.sections import Sections


def read_experts(sections: Sections) -> dict[str, str]:
    """How the modules of an expert begin here, and on disk; they stand inside the layers."""
    out: dict[str, str] = {}
    problems = sections.problems
    for name, text in sections.lines("experts"):
        if "{i}" not in text.value or "{e}" not in text.value or text.value.endswith("."):
            message = f"`{text.value[:60]}` has no place for the layer or for the expert"
            help = "write `{i}` and `{e}` where their numbers stand: `layers.{i}.moe.experts.{e}`"
            problems.add("GP343", message, text.span, help=help)
        out[name.value] = text.value
    for axis, meaning in (("experts", "how many there are"), ("active", "how many a token passes")):
        if out and axis not in sections.mapping("sizes"):
            help = f"add `{axis}: KEY`, with the config key that says {meaning}"
            problems.add("GP342", f"`sizes` has no axis `{axis}`", sections.place("experts"), help=help)
    return out


def read_dense(sections: Sections, modules: Mapping[str, Module]) -> dict[str, str]:
    """Module of an expert -> the module of a dense family that it is made from."""
    out: dict[str, str] = {}
    for name, text in sections.lines("dense"):
        if name.value not in modules or not modules[name.value].in_expert:
            experts = [module.name for module in modules.values() if module.in_expert]
            help = f"modules of an expert: {', '.join(experts) or 'none'}"
            message = f"`{name.value[:60]}` is no module of an expert"
            sections.problems.add("GP344", message, name.span, help=help)
        out[name.value] = text.value
    return out
