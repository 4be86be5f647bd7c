"""The starter plans of `growplan new`: what checks on this model as it stands, and ideas beside it.

One step; or, where there is data to train on, stages of which each grows and is trained.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from growplan.diagnostics import DiagnosticError, fail
from growplan.families.model import Model
from growplan.families.positions import longest_input

OVER, LENGTH = 500, 2000  # steps of a mask's ramp, and of a stage
WINDOW = 128  # tokens of a sequence, where the model reads as many
WAYS = ("mask-in ffn {ffn} over {over} steps", "widen ffn {ffn} via fpi", "widen hidden {hidden} via fpi")


def starter(model_dir: str, folder: Path, family: str | None, data: str | None = None) -> str:
    """YAML text of a plan in `folder` that grows the model; `data`: by stages that are trained on it.

    Raises what binding the model raises, and what `check` says of data that the model cannot be trained on.
    """
    from growplan.language import format_plan
    from growplan.language.plan import Plan
    from growplan.pipeline import compile_plan

    model = compile_plan(Plan(), model_dir=model_dir, family=family, stop_after="bind").model
    name = Path(model_dir).resolve().name
    source = _relative(Path(model_dir), folder)
    own = family is not None and Path(family).is_file()
    after = "growplan check this file; growplan methods; growplan explain CODE"
    lines = [
        f"# {name}: {model.family.name}, {model.architecture}, {_sizes(model)}",
        f"# {after}",
        *(
            []
            if data is None
            else ["# growplan train this file runs all stages, and goes on where it was stopped"]
        ),
        "growplan: 1",
        f"source: {_scalar(source)}",
        f"target: {_scalar(source + ('-grown' if data is None else '-run'))}",
        *(
            []
            if family is None
            else [f"family: {_scalar(_relative(Path(family), folder) if own else family)}"]
        ),
        "seed: 0",
        *(["steps:", *_steps(model)] if data is None else _stages(model, _relative(Path(data), folder))),
    ]
    text = format_plan("\n".join(lines) + "\n", "yaml", "yaml")
    if data is not None:
        _hold_to(text, model_dir, folder, family)
    return text


def _relative(model: Path, folder: Path) -> str:
    """A path from the plan's folder, with a leading `./`."""
    path = Path(os.path.relpath(model.resolve(), folder.resolve())).as_posix()
    return path if path.startswith("../") else f"./{path}"


def _scalar(text: str) -> str:
    """A YAML scalar, quoted where it is not a plain path."""
    plain = all(ch.isalnum() or ch in "._-/" for ch in text)
    return text if plain else "'" + text.replace("'", "''") + "'"


def _sizes(model: Model) -> str:
    shown = ("hidden", "heads", "ffn", "depth", "vocab")
    return ", ".join(f"{axis} {model.sizes[axis]}" for axis in shown if axis in model.sizes)


def _steps(model: Model) -> Iterator[str]:
    hidden, depth = model.sizes["hidden"], model.depth
    yield f"  - widen hidden {hidden}→{2 * hidden} via fpi      # the same function, twice as wide"
    if "ffn" in model.sizes:
        ffn = model.sizes["ffn"]
        yield f"  # - widen ffn {ffn}→{2 * ffn} via fpi         # a wider feed-forward layer"
    yield f"  # - stack depth {depth}→{2 * depth} via stackbert     # twice the layers; another function"


def _stages(model: Model, data: str) -> Iterator[str]:
    """Masked Structural Growth with layers stacked: train, widen behind a mask, deepen, train all."""
    hidden, depth = model.sizes["hidden"], model.depth
    images = model.inputs == "image"
    window = "" if images else f", tokens: {min(WINDOW, longest_input(model) or WINDOW)}"
    yield "# what the training of each stage begins with"
    yield f"train: {{on: {_scalar(data)}, lr: 3e-4, warmup: 100, batch: 16{window}}}"
    yield "stages:"
    yield "  # the model as it is; leave this stage out where it is trained well enough"
    yield f"  - {{name: small, train: {{for: {LENGTH} steps}}}}"
    yield ""
    yield "  # new units behind a mask: the same function at first, another at the end of the ramp"
    yield "  - name: wide"
    yield "    steps:"
    yield f"      - {_wider(model)}"
    masked = f"mask-in hidden {hidden}→{2 * hidden} over {OVER} steps, delay {OVER}"
    if not _wrong(masked, model):
        yield f"      # - {masked}"
    yield f"    train: {{for: {LENGTH} steps}}"
    yield ""
    yield "  # twice the layers: another function, whose new half is trained alone"
    yield "  - name: deep"
    yield "    steps:"
    yield f"      - stack depth {depth}→{2 * depth} via mslt"
    yield "    train-only: new-layers"
    yield f"    train: {{for: {LENGTH // 2} steps}}"
    yield ""
    yield "  # then all of it, for longest"
    yield f"  - {{name: all, train: {{for: {2 * LENGTH} steps, lr: 1e-4}}}}"


def _wider(model: Model) -> str:
    """A step that widens this model: behind a mask, where it can be masked."""
    sizes = {axis: f"{model.sizes[axis]}→{2 * model.sizes[axis]}" for axis in ("ffn", "hidden")}
    ways = [way.format(over=OVER, **sizes) for way in WAYS]
    return next((way for way in ways if not _wrong(way, model)), ways[-1])


def _wrong(step: str, model: Model) -> bool:
    """Whether a step by itself does not check on this model."""
    from growplan.check import check_plan
    from growplan.language import parse_expression

    try:
        check_plan(parse_expression(step), model)
    except DiagnosticError:
        return True
    return False


def _hold_to(text: str, model_dir: str, folder: Path, family: str | None) -> None:
    """Raise what `check` says of the plan, without places: the file is not there yet."""
    from growplan.language import parse_text
    from growplan.pipeline import check_schedule

    try:
        plan = parse_text(text, path=str(folder / "new.grow.yaml"))
        check_schedule(plan, model_dir=model_dir, family=family)
    except DiagnosticError as error:
        raise DiagnosticError(*(replace(d, span=None) for d in error.diagnostics)) from None


def write_new(path: Path, text: str) -> None:
    """Create a file; GP604 where one is already there or it cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        fail("GP604", f"{path} already exists", help="choose another name with --out")
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}"
        fail("GP604", message, help="choose another place with `--out FILE`, or print it with `--out -`")
