"""The sections `classes` and `window` of a family file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from growplan.families.lines import Lines
from growplan.families.model import Call, HeadClass
from growplan.families.problems import close_to
from growplan.families.sections import Sections
from growplan.families.window import Key, Window


def read_classes(sections: Sections, heads: Mapping[str, Any]) -> tuple[HeadClass, ...]:
    """The transformers classes that the family can be saved as."""
    out: list[HeadClass] = []
    tree = sections.tree
    for name, (word, node) in sections.mapping("classes").items():
        fields = tree.mapping(node, f"`classes.{name}`")
        if set(fields) != {"prefix", "head"}:
            message = f"`{name[:60]}` needs `prefix` and `head`, nothing else"
            sections.problem("GP342", message, word, 'write `{prefix: "transformer.", head: lm}`')
            continue
        prefix = tree.text(fields["prefix"][1], "a prefix")
        for head in tree.texts(fields["head"][1], "a head"):
            for part in head.value.split(" + "):
                if part not in heads:
                    help = (*close_to(part, heads), f"heads here: {', '.join(heads)}")
                    sections.problem("GP344", f"there is no head `{part[:60]}`", head, help)
            if prefix is not None:
                out.append(HeadClass(name, prefix.value, head.value))
    if not out:
        example = 'write `GPT2Model: {prefix: "", head: NAME}`'
        sections.problem("GP342", "`classes` names at least one transformers class", "classes", example)
    return tuple(out)


def read_window(sections: Sections, lines: Lines, attention: Iterable[Call]) -> Window | None:
    """How far back attention sees, where the file says it; `attention` are the calls it is about."""
    if sections.node("window") is None:
        return None
    keys: dict[str, Key] = {}
    for name, text in sections.lines("window"):
        if name.value not in ("size", "when", "kinds", "from"):
            message = f"`window` has no key `{name.value[:60]}`"
            sections.problem("GP342", message, name, "keys: size, when, kinds, from")
        elif (key := lines.key(text)) is not None:
            keys[name.value] = key
    if "size" not in keys:
        sections.problem("GP342", "`window` names the config key of its size", "window", "add `size: KEY`")
        return None
    if not all(value.value for call in attention for _, value in call.kwargs):
        message = "a window is for attention that is causal"
        sections.problem("GP342", message, "window", "take `window` away, or write `causal=True`")
    return Window(keys["size"], keys.get("when"), keys.get("kinds"), keys.get("from"))
