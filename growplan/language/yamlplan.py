"""YAML nodes to drafts: the keys of a plan, and its variables."""

from __future__ import annotations

from typing import Any

from growplan.diagnostics import Source
from growplan.language.draft import Entry, FileDraft
from growplan.language.errors import Errors
from growplan.language.located import as_word
from growplan.language.nodes import MappingNode, Node, ScalarNode, SequenceNode
from growplan.language.scalars import check_trap, scalar
from growplan.language.variables import NAME, Variables
from growplan.language.words import HEADERS, PARTS, Word, did_you_mean
from growplan.language.yamlstages import read_stages, read_train
from growplan.language.yamlsteps import plain_word, read_steps, wrong

KEYS = (*HEADERS, "vars", "steps", "stages", "train")


def read_vars(root: Node | None, errors: Errors) -> dict[str, Word]:
    """The `vars:` of a document. A value is a plain scalar and refers to no other variable."""
    node = _value(root, "vars")
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        wrong(node, "`vars` must be a mapping of names to values", "write `vars: {width: 768}`", errors)
        return {}
    values: dict[str, Word] = {}
    for key, value in node.pairs:
        if not NAME.fullmatch(key.text):
            errors.add(
                "GP034", f"`{key.text}` is no name for a variable", key.span, help="letters, digits, `_`, `-`"
            )
        elif not isinstance(value, ScalarNode):
            wrong(value, f"the variable `{key.text}` must be one value", "write a word or a number", errors)
        elif "${" in value.text:
            help = "write the value out"
            errors.add("GP034", "a variable cannot refer to another", value.span, help=help)
        else:
            word = as_word(value)
            check_trap(word, errors)
            values[key.text] = word
    return values


def read_extends(root: Node | None, variables: Variables, errors: Errors) -> Word | None:
    """The path that a document extends."""
    node = _value(root, "extends")
    return plain_word(node, "extends", variables, errors) if node else None


def read_yaml(source: Source, root: Node | None, variables: Variables, errors: Errors) -> FileDraft:
    """A document as a draft; what is wrong in it is reported and left out."""
    draft = FileDraft(source)
    if not isinstance(root, MappingNode):
        if root is not None:
            wrong(root, "a plan must be a mapping", "begin with `growplan: 1`", errors)
        return draft
    draft.span = root.span
    for key, value in root.pairs:
        if key.text in HEADERS:
            word = plain_word(value, key.text, variables, errors)
            if word:
                draft.headers[key.text] = Entry(key, word)
        elif key.text == "steps":
            draft.steps = read_steps(value, variables, errors)
        elif key.text.startswith("x-"):
            draft.extra[key.text] = to_plain(value, errors)
        elif key.text == "stages":
            draft.stages = read_stages(value, variables, errors)
        elif key.text == "train":
            draft.train = read_train(key, value, variables, errors)
        elif key.text in PARTS:
            message = f"`{key.text}` belongs to a stage"
            help = f"write it beside the `train:` of one: `- {{name: NAME, train: ..., {key.text}: ...}}`"
            errors.add("GP044", message, key.span, help=help)
        elif key.text != "vars":
            help_lines = did_you_mean(key.text, KEYS, "a key of your own begins with `x-`")
            errors.add("GP008", f"unknown key `{key.text}`", key.span, help=help_lines)
            draft.broken = True
    return draft


def to_plain(node: Node, errors: Errors) -> Any:
    """A user's own value: mappings, lists, numbers and strings."""
    if isinstance(node, MappingNode):
        return {key.text: to_plain(value, errors) for key, value in node.pairs}
    if isinstance(node, SequenceNode):
        return [to_plain(item, errors) for item in node.items]
    word = as_word(node)
    value = scalar(word, Errors())
    return word.text if value is None else value


def _value(root: Node | None, key: str) -> Node | None:
    pairs = root.pairs if isinstance(root, MappingNode) else []
    return next((value for word, value in pairs if word.text == key), None)
