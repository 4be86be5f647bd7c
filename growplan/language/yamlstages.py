"""YAML nodes to drafts of stages and of their training."""

from __future__ import annotations

from growplan.language.draft import PartsDraft, StageDraft, TrainDraft
from growplan.language.errors import Errors
from growplan.language.nodes import MappingNode, Node, ScalarNode, SequenceNode
from growplan.language.stages import enter_parts, enter_setting, split_parts
from growplan.language.variables import Variables
from growplan.language.words import PARTS, Word, did_you_mean, suggest
from growplan.language.yamlsteps import IDENTIFIER, plain_word, read_steps, wrong

KEYS = ("name", "steps", "train", *PARTS)
EXAMPLE = "write `- {name: small, train: {for: 300 steps}}`"
TRAIN_EXAMPLE = "write `train: {for: 300 steps, lr: 1e-3}`"


def read_stages(node: Node, variables: Variables, errors: Errors) -> list[StageDraft]:
    """The items of `stages:`, those that are no mappings left out (and reported)."""
    if not isinstance(node, SequenceNode):
        if not (isinstance(node, ScalarNode) and not node.text):  # an empty `stages:` is reported later
            wrong(node, "`stages` must be a list", "begin each stage with `- name: ...`", errors)
        return []
    found = [_stage(item, variables, errors) for item in node.items]
    return [stage for stage in found if stage is not None]


def _stage(node: Node, variables: Variables, errors: Errors) -> StageDraft | None:
    if not isinstance(node, MappingNode):
        wrong(node, "a stage must be a mapping", EXAMPLE, errors)
        return None
    before = len(errors.found)
    stage = StageDraft(_name(node, variables, errors), node.span)
    for key, value in node.pairs:
        if key.text == "steps":
            stage.steps = read_steps(value, variables, errors)
        elif key.text == "train":
            stage.train = read_train(key, value, variables, errors)
        elif key.text in PARTS:
            enter_parts(stage, read_parts(key, value, variables, errors), errors)
        elif key.text != "name" and stage.name.text:
            help = did_you_mean(key.text, KEYS, "keys of a stage: " + ", ".join(KEYS))
            errors.add(
                "GP008",
                f"unknown key `{key.text}` of a stage",
                key.span,
                help=(*help, "options of its training stand under `train:`"),
            )
    stage.broken = len(errors.found) > before
    return stage


def _name(node: MappingNode, variables: Variables, errors: Errors) -> Word:
    """The stage's name; an empty word where it has none, which is reported."""
    value = next((value for key, value in node.pairs if key.text == "name"), None)
    if value is not None:
        return plain_word(value, "name", variables, errors) or Word("", value.span)
    key = node.pairs[0][0] if node.pairs else None
    near = next((key for key, _ in node.pairs if suggest(key.text, KEYS) == "name"), None)
    nested = key is not None and key.text not in KEYS
    help = f"write `- name: {key.text}`, and its keys beside it" if nested and key else EXAMPLE
    key, help = (key, help) if near is None else (near, f"did you mean `name` by `{near.text}`?")
    errors.add("GP044", "a stage without a name", key.span if key else node.span, help=help)
    return Word("", node.span)


def read_train(key: Word, node: Node, variables: Variables, errors: Errors) -> TrainDraft:
    """The mapping under `train:`, a plan's or a stage's."""
    train = TrainDraft(key, key.span)
    if not isinstance(node, MappingNode):
        message = "`train` must be a mapping of options"
        empty = isinstance(node, ScalarNode) and not node.text
        help = "write `train: {}` for what the plan's own `train` says" if empty else TRAIN_EXAMPLE
        wrong(node, message, help, errors)
        train.span, train.broken = node.span, True
        return train
    train.span, before = node.span, len(errors.found)
    for option, value in node.pairs:
        word = plain_word(value, option.text, variables, errors)
        if not IDENTIFIER.fullmatch(option.text):
            message = f"`{option.text}` is no name for an option"
            errors.add("GP008", message, option.span, help="letters, digits, `_`, `-`")
        elif word is not None:
            enter_setting(train, option, word, errors)
    train.broken = len(errors.found) > before
    return train


def read_parts(key: Word, node: Node, variables: Variables, errors: Errors) -> PartsDraft:
    """`freeze` or `train-only`: the parts of a model in a line with commas, or in a list."""
    items = node.items if isinstance(node, SequenceNode) else [node]
    if isinstance(node, ScalarNode) and not node.style and not node.text:
        items = []
    words: list[Word] = []
    for item in items:
        if not isinstance(item, ScalarNode):
            wrong(item, f"`{key.text}` must be a line or a list of words", "write `top 3, head`", errors)
        elif text := variables.text(item, errors):
            words += split_parts(text)
    if not items:
        message = f"`{key.text}` names no part of the model"
        errors.add("GP047", message, node.span, help=f"remove `{key.text}`, or name a part")
    return PartsDraft(key, words)
