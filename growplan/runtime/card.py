"""README.md of a checkpoint in the middle of a ramp: what a stock load of it is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from growplan.checkpoint.card import CARD, MASKS, write_card
from growplan.checkpoint.files import guard, path_exists, read_bytes
from growplan.runtime.ramps import value_at
from growplan.runtime.state import GrowthState

TITLE = "# In the middle of a growth"
KEPT = "README.growth.md"  # the card that `apply` wrote, which the user may have edited


def write_half_grown_card(directory: Path, state: GrowthState) -> None:
    """Write the card where a mask is below 1: over one by growplan, over nobody else's. Raises GP43x.

    The card that `apply` wrote speaks of masks of 0, and of weights that are no longer there: it is kept as
    README.growth.md.
    """
    card = directory / CARD
    text = _text(directory)
    if text and TITLE not in text and MASKS not in text:
        return
    if any(value_at(mask.ramp, state.step) < 1 for mask in state.masks):
        if text and TITLE not in text and not path_exists(directory / KEPT):
            with guard(card, "rename"):
                card.replace(directory / KEPT)
        write_card(directory, "\n".join(_lines(state)) + "\n")
    elif TITLE in text:
        with guard(card, "remove"):
            card.unlink()


def has_half_grown_card(directory: Path) -> bool:
    """Whether the card in `directory` is of a checkpoint in the middle of a ramp."""
    return TITLE in _text(directory)


def _text(directory: Path) -> str:
    card = directory / CARD
    return read_bytes(card).decode("utf-8", "replace") if path_exists(card) else ""


def _lines(state: GrowthState) -> Iterator[str]:
    yield from ("---", "tags:", "- growplan", "---", "", TITLE, "")
    yield "The weights are raw. The model that was trained is these weights behind growth masks;"
    yield f"**`from_pretrained` alone gives another model**. After {state.step} steps of the growth:"
    yield from ("", "| step of the plan | axis | mask | 1 from step |", "|---|---|---|---|")
    for mask in state.masks:
        value = value_at(mask.ramp, state.step)
        yield f"| `{mask.step}` | {mask.axis} {mask.old}→{mask.new} | {value:.4g} | {mask.ramp.end} |"
    yield from ("", "```python", "model = ...from_pretrained(DIRECTORY)")
    yield from ("growth = growplan.runtime.attach(model, DIRECTORY)", "```", "")
    yield "`growplan runtime export DIRECTORY OUT` writes a plain one, where weights can hold the masks."
