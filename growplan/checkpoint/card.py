"""README.md of a grown checkpoint: what it is made of, by which plan, and the certificate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from growplan.checkpoint.files import is_regular, read_bytes, write_bytes
from growplan.checkpoint.growth import Growth, Hint, SegmentRecord, StepRecord

CARD = "README.md"
MASKED = "growth-state.json"  # beside a checkpoint that has growth masks
MASKS = "## Growth masks"  # in the card of such a one
_KEPT = ("license", "license_name", "license_link", "language", "pipeline_tag", "library_name", "datasets")
_KEY = re.compile(r"([A-Za-z_][\w-]*):(?=\s|$)")


def hub_id(source: Path) -> str | None:
    """`org/name` for a snapshot in a hub cache; None for any other directory."""
    real = Path(os.path.realpath(source))
    repo = real.parent.parent.name
    if real.parent.name == "snapshots" and repo.startswith("models--"):
        return repo.removeprefix("models--").replace("--", "/", 1)
    return None


def base_model_name(source: Path) -> str:
    """The hub id of a snapshot, else the directory's own name."""
    known = hub_id(source)
    if known is not None:
        return known
    real = Path(os.path.realpath(source))
    return re.sub(r"[^\w.-]+", "-", real.name).strip("-.") or "source"


def front_matter(text: str) -> dict[str, str]:
    """The top-level blocks of a card's YAML front matter, each as its raw lines; empty without one."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    try:
        end = next(i for i, line in enumerate(lines[1:], 1) if line.strip() == "---")
    except StopIteration:
        return {}
    blocks: dict[str, str] = {}
    key = ""
    for line in lines[1:end]:
        match = _KEY.match(line)
        if match:
            key = match.group(1)
            blocks[key] = line.rstrip()
        elif key:
            blocks[key] += "\n" + line.rstrip()
    return blocks


def _tags(block: str | None) -> list[str]:
    """The tags of a block or flow list; anything cleverer is left out."""
    if block is None:
        return []
    first, *rest = block.splitlines()
    inline = first.split(":", 1)[1].strip()
    words = (
        inline.strip("[]").split(",")
        if inline.startswith("[")
        else [line.strip().removeprefix("- ") for line in rest]
    )
    clean = (word.strip().strip("'\"") for word in words)
    return [word for word in clean if re.fullmatch(r"[\w.:/+-]+", word)]


def card_text(
    growth: Growth,
    source: Path,
    *,
    title: str,
    plan_text: str | None = None,
    body: Iterable[str] | None = None,
) -> str:
    """The card. `plan_text` is the plan as the user wrote it (default: its canonical text).

    `body`: what stands below the title, where the checkpoint was trained after it was grown.
    """
    blocks = _source_front_matter(source)
    head = ["---"]
    head += [block for key in _KEPT if (block := blocks.get(key)) is not None]
    if "library_name" not in blocks:
        head.append("library_name: transformers")
    if (known := hub_id(source)) is not None:  # the hub looks it up: a folder's name would be another model
        head += ["base_model:", f"- {known}"]
    tags = [*(t for t in _tags(blocks.get("tags")) if t != "growplan"), "growplan"]
    head += ["tags:", *(f"- {_quoted(tag)}" for tag in tags), "---"]
    if body is None:
        body = _body(growth, source, plan_text or growth.plan)
    return "\n".join([*head, "", f"# {title}", "", *body]) + "\n"


def _quoted(tag: str) -> str:
    """A tag as a YAML string: words that YAML would read as something else are quoted."""
    plain = re.fullmatch(r"[A-Za-z][\w./+-]*", tag) and tag.lower() not in {
        "yes",
        "no",
        "on",
        "off",
        "true",
        "false",
        "null",
        "y",
        "n",
    }
    return tag if plain else f'"{tag}"'


def _source_card(source: Path) -> Path | None:
    """The card of the model that was not grown: a grown source keeps it under another name."""
    return next((source / name for name in ("README.source.md", CARD) if is_regular(source / name)), None)


def _source_front_matter(source: Path) -> dict[str, str]:
    card = _source_card(source)
    return {} if card is None else front_matter(read_bytes(card).decode("utf-8", "replace"))


def _body(growth: Growth, source: Path, plan_text: str) -> Iterable[str]:
    name = ("" if hub_id(source) else "a local checkpoint ") + f"`{base_model_name(source)}`"
    yield (
        f"Grown from {name} with growplan. As a whole the plan is **{growth.claim}**: "
        f"{_meaning(growth.claim)}."
    )
    yield from ("", "## Plan", "", "```", *plan_text.rstrip("\n").splitlines(), "```")
    yield from ("", "## Certificate", "", "| step | claim | proof | measured |", "|---|---|---|---|")
    yield from (_row(step) for step in growth.steps)
    if growth.segments:
        said = "Steps are measured before rounding. The model before against the model after, as stored:"
        yield from ("", said, "")
        yield from (_segment(segment) for segment in growth.segments)
    if growth.hint is not None:
        yield from ("", "## Training on", "")
        yield _training(growth.hint)
    if MASKED in growth.files:
        yield from ("", MASKS, "")
        yield (
            f"`{MASKED}` says how growth masks rise from 0 while the model trains. "
            "`growplan.runtime.attach(model, DIRECTORY)` puts them, and the weights behind them, into the "
            "model as `from_pretrained` loads it."
        )
    yield from (
        "",
        "`growth.json` holds the plan, hashes and measurements in full; `growplan verify` compares the "
        "tensors and files with those hashes (this card is yours to edit).",
    )
    if _source_card(source) is not None:
        yield "The card of the source is kept as `README.source.md`."


def _meaning(claim: str) -> str:
    """A claim such as `exact (old vocab)` in words."""
    strength, _, limits = claim.partition(" (")
    if "attached" in limits and strength == "exact":
        return "it computes what its source computes with its growth masks attached; a stock load does not"
    inside = f" inside the {limits.rstrip(')').replace(', ', ' and the ')}" if limits else ""
    return _MEANING.get(strength, "see the certificate").format(domain=inside)


_MEANING = {
    "exact": "it computes what its source computes{domain}, up to rounding",
    "approximate": "every weight keeps the function, and some norms do not; how far off it is stands below",
    "none": "nothing is promised about what it computes before it is trained",
}


def _segment(segment: SegmentRecord) -> str:
    measured = ", ".join(f"{name} {value:.2g}" for name, value in segment.measured.items())
    return f"- {', '.join(segment.steps)} ({segment.claim}): {measured or 'not measured'}"


def _row(step: StepRecord) -> str:
    measured = ", ".join(f"{name} {value:.2g}" for name, value in step.measured.items())
    cells = (f"`{step.text}`", step.claim, step.proof, measured or "not measured")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def write_card(directory: Path, text: str) -> Path:
    """Write `directory`/README.md; returns its path."""
    path = directory / CARD
    write_bytes(path, text.encode())
    return path


def _training(hint: Hint) -> str:
    if hint.lr_scale is None or hint.warmup_steps is None:
        return f"{hint.why}."
    steps = f"{hint.warmup_steps} warm-up step{'s' * (hint.warmup_steps != 1)}"
    return f"Start at {hint.lr_scale:g}× the usual peak learning rate with {steps}: {hint.why}."
