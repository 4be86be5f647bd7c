"""README.md of a checkpoint in the middle of a ramp: what a stock load of it is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from growplan.checkpoint.card import CARD, write_card
from growplan.checkpoint.files import guard, path_exists, read_bytes
from growplan.runtime.ramps import value_at
from growplan.runtime.state import GrowthState

TITLE = "# In the middle of a growth"


def write_half_grown_card(directory: Path, state: GrowthState) -> None:
    """Write the card where a mask is below 1, in place of an earlier one, of nobody else's. Raises GP43x."""
    card = directory / CARD
    if path_exists(card) and TITLE.encode() not in read_bytes(card):
        return
    if any(value_at(mask.ramp, state.step) < 1 for mask in state.masks):
        write_card(directory, "\n".join(_lines(state)) + "\n")
    else:
        with guard(card, "remove"):
            card.unlink(missing_ok=True)


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
