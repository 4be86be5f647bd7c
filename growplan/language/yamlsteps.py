"""YAML nodes to drafts of steps: DSL lines, and the mapping form."""

from __future__ import annotations

import re

from growplan.language.draft import GrowthDraft, StepDraft, enter
from growplan.language.dsl import FIRST, only_statement, read_line
from growplan.language.errors import Errors
from growplan.language.located import locate
from growplan.language.nodes import MappingNode, Node, ScalarNode, SequenceNode
from growplan.language.scalars import check_trap
from growplan.language.variables import Variables
from growplan.language.words import SIZES, VERBS, Text, Word, did_you_mean, joined

IDENTIFIER = re.compile(r"[A-Za-z_]\w*(?:-\w+)*")
SIZE = re.compile(r"\s*(?:(?:(\d+)\s*)?(?:(?:→|->)\s*(\d+)|[x×]\s*(\d+))|to\s+(\d+)|(\S+))\s*")


def read_steps(node: Node, variables: Variables, errors: Errors) -> list[StepDraft]:
    """The items of `steps:`, those with mistakes left out (and reported)."""
    if not isinstance(node, SequenceNode):
        if not (isinstance(node, ScalarNode) and not node.text):  # an empty `steps:` is reported later
            wrong(node, "`steps` must be a list", "begin each step with `- `", errors)
        return []
    found = [read_step(item, variables, errors) for item in node.items]
    return [step for step in found if step is not None]


def read_step(node: Node, variables: Variables, errors: Errors) -> StepDraft | None:
    """A DSL line, a flat mapping, or `ID: DSL line`."""
    if isinstance(node, ScalarNode):
        return _line(node, variables, errors)
    if isinstance(node, SequenceNode):
        wrong(node, "a step must be a line or a mapping, not a list", "remove one `- `", errors)
        return None
    if label := labelled_line(node):
        key, line = label
        step = _line(line, variables, errors)
        if step is not None:
            enter(step, Word("id", key.span), key, errors)
            step.span = joined([key.span, step.span]) or step.span
        return step
    return _mapping_step(node, variables, errors)


def _line(node: ScalarNode, variables: Variables, errors: Errors) -> StepDraft | None:
    text = variables.text(node, errors)
    if text is not None:
        return read_line(text, errors)
    if variables.values is None:
        only_statement(locate(node), errors)  # all that can be told before names are replaced
    return None


def labelled_line(node: MappingNode) -> tuple[Word, ScalarNode] | None:
    """`wider: widen hidden x2`, which YAML reads as a mapping of one pair."""
    if len(node.pairs) != 1:
        return None
    key, value = node.pairs[0]
    if key.text in VERBS or not isinstance(value, ScalarNode):
        return None
    first = FIRST.match(value.text)
    return (key, value) if first and first["word"] in VERBS else None


def size_parts(text: Text) -> tuple[Word | None, Word | None, Word | None] | None:
    """(source, to, by) of `N`, `N→M`, `to N`, `xN`; None when it is no size at all."""
    match = SIZE.fullmatch(text.text)
    if match is None:
        return None

    def part(*groups: int) -> Word | None:
        group = next((g for g in groups if match[g] is not None), None)
        return None if group is None else Word(match[group], text.span(*match.span(group)))

    return part(1), part(2, 4, 5), part(3)


def _mapping_step(node: MappingNode, variables: Variables, errors: Errors) -> StepDraft | None:
    verbs = [(key, value) for key, value in node.pairs if key.text in VERBS]
    if len(verbs) != 1:
        _report_verbs(node, [key for key, _ in verbs], errors)
        return None
    verb, value = verbs[0]
    step, before = StepDraft(Word(verb.text, verb.span), node.span), len(errors.found)
    step.growths = _growths(step, value, variables, errors)
    for key, entry in node.pairs:
        if key is verb:
            continue
        word = plain_word(entry, key.text, variables, errors)
        if word is not None:
            _key(step, key, word, errors)
    if len(errors.found) > before:
        return step
    if verb.text == "grow" and "via" not in step.entries:
        errors.add("GP025", "`grow` needs `via`", node.span, help="add `via: fpi`")
        return None
    if verb.text == "upcycle" and step.growths and step.growths[0].to is None:
        errors.add("GP025", "`upcycle` needs `experts`", node.span, help="add `experts: 8`")
        return None
    return step


def _report_verbs(node: MappingNode, verbs: list[Word], errors: Errors) -> None:
    if len(verbs) > 1:
        message = f"a step with two verbs, `{verbs[0].text}` and `{verbs[1].text}`"
        errors.add("GP025", message, verbs[1].span, help="make them two steps")
        return
    if not node.pairs:
        errors.add("GP025", "an empty step", node.span, help="remove it, or write a step")
        return
    key = node.pairs[0][0]
    help = did_you_mean(key.text, VERBS, "the first key of a step is its verb: " + ", ".join(VERBS))
    errors.add("GP025", f"a step without a verb: `{key.text}` is none", key.span, help=help)


def _growths(step: StepDraft, node: Node, variables: Variables, errors: Errors) -> list[GrowthDraft]:
    """The value under the verb's key: an axis, or for `grow` a mapping of axes to sizes."""
    if step.verb.text == "grow":
        if not isinstance(node, MappingNode) or not node.pairs:
            wrong(
                node,
                "`grow` needs its axes with their sizes",
                "write `grow: {hidden: 1024, depth: 24}`",
                errors,
            )
            return []
        found = [_sized(axis, value, variables, errors) for axis, value in node.pairs]
        return [growth for growth in found if growth is not None]
    axis = plain_word(node, step.verb.text, variables, errors)
    if axis is None:
        return []
    if step.verb.text == "upcycle":
        if axis.text != "ffn":
            errors.add(
                "GP024",
                f"only `ffn` can be upcycled, not `{axis.text}`",
                axis.span,
                help="write `upcycle: ffn`",
            )
            return []
        axis = Word("experts", axis.span)
    elif not IDENTIFIER.fullmatch(axis.text):
        help = (
            [f"write the size apart: `{step.verb.text}: {axis.text.split()[0]}, to: ...`"]
            if axis.text.split()
            else []
        )
        line = f"or the whole step as a line: `- {step.verb.text} {axis.text}`"
        errors.add("GP024", f"`{axis.text}` is not an axis", axis.span, help=[*help, line])
        return []
    check_trap(axis, errors)
    return [GrowthDraft(axis, span=axis.span)]


def _sized(axis: Word, node: Node, variables: Variables, errors: Errors) -> GrowthDraft | None:
    if not isinstance(node, ScalarNode):
        wrong(node, f"the size of `{axis.text}` must be one value", f"write `{axis.text}: 1024`", errors)
        return None
    if not IDENTIFIER.fullmatch(axis.text):
        help = "an axis is one word, such as `hidden`"
        errors.add("GP024", f"`{axis.text}` is not an axis", axis.span, help=help)
        return None
    text = variables.text(node, errors)
    parts = size_parts(text) if text is not None else None
    if parts is None:
        if text is not None:
            errors.add("GP024", f"`{node.text}` is not a size", node.span, help=f"write `{axis.text}: 1024`")
        return None
    return GrowthDraft(axis, *parts, span=joined([axis.span, node.span]))


def _key(step: StepDraft, key: Word, value: Word, errors: Errors) -> None:
    """A key of a mapping step other than the verb: a size, a field or an option."""
    verb = step.verb.text
    if key.text in SIZES or (verb == "upcycle" and key.text == "experts"):
        if verb == "grow" or (verb == "upcycle" and key.text != "experts"):
            right = "`grow: {hidden: 1024}`" if verb == "grow" else "`experts: 8`"
            errors.add("GP025", f"`{key.text}` is not a key of `{verb}`", key.span, help=f"write {right}")
        elif step.growths:
            part = {"from": "source", "to": "to", "by": "by", "experts": "to"}[key.text]
            setattr(step.growths[0], part, value)
        return
    if not IDENTIFIER.fullmatch(key.text):
        errors.add(
            "GP008", f"`{key.text}` is no name for an option", key.span, help="letters, digits, `_`, `-`"
        )
        return
    enter(step, key, value, errors)


def plain_word(node: Node, key: str, variables: Variables, errors: Errors) -> Word | None:
    """A scalar as one word, its references replaced; None when it was reported, or cannot be."""
    if not isinstance(node, ScalarNode):
        wrong(node, f"`{key}` must be one value", "write a word or a number", errors)
        return None
    word = variables.word(node, errors)
    if word is None:
        return None
    if not word.quoted and not word.text.strip():
        errors.add("GP013", f"`{key}` has no value", word.span, help="write a value, or remove the key")
        return None
    return word


def wrong(node: Node, message: str, help: str, errors: Errors) -> None:
    """Report a node of the wrong shape."""
    errors.add("GP013", message, node.span, help=help)
