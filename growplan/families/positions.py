"""Learned positions: which ones the tokens of an input read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from growplan.families.model import Assign, Call, Model
from growplan.families.walk import subexpressions

PAD = "pad_token_id"


def padding_token(model: Model) -> int | None:
    """The id that fills a sequence up; None where the config names none."""
    found = model.config.get(PAD)
    return found if type(found) is int and 0 <= found < model.sizes["vocab"] else None


def calls(statements: tuple[Assign, ...], op: str) -> Iterator[Call]:
    """Every use of an operation in some statements."""
    for statement in statements:
        for e in subexpressions(statement.value):
            if isinstance(e, Call) and e.fn == op:
                yield e


def counts_tokens(embed: tuple[Assign, ...]) -> bool:
    """Whether positions are counted over tokens that are not padding, from pad_token_id + 1 on."""
    return any(calls(embed, "token_positions"))


def longest_input(model: Model) -> int | None:
    """Tokens that the learned positions have room for; None where nothing limits them."""
    positions = model.sizes.get("positions")
    if positions is None or not counts_tokens(model.embed):
        return positions
    return positions - int(model.config[PAD]) - 1


def wrong_padding(data: Mapping[str, Any], sizes: Mapping[str, int]) -> str | None:
    """What is wrong with the padding id that positions are counted from, if anything."""
    pad = data.get(PAD)
    if type(pad) is not int or not 0 <= pad < sizes.get("vocab", 1 << 62):
        return f"`{PAD}` is no id of the vocabulary: {pad!r:.40}"
    if pad + 1 >= sizes.get("positions", 1 << 62):
        return f"`{PAD}` {pad} leaves no position of {sizes['positions']} for a token"
    return None
