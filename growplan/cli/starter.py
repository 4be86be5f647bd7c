"""The starter plan of `growplan new`: one step that checks on this model, and ideas beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from growplan.diagnostics import fail
from growplan.families.model import Model


def starter(model_dir: str, folder: Path, family: str | None) -> str:
    """YAML text of a plan in `folder` that grows the model. Raises what binding it raises."""
    from growplan.language import format_plan
    from growplan.language.plan import Plan
    from growplan.pipeline import compile_plan

    model = compile_plan(Plan(), model_dir=model_dir, family=family, stop_after="bind").model
    name = Path(model_dir).resolve().name
    source = _relative(Path(model_dir), folder)
    lines = [
        f"# {name}: {model.family.name}, {model.architecture}, {_sizes(model)}",
        "# growplan check this file; growplan methods; growplan explain CODE",
        "growplan: 1",
        f"source: {_scalar(source)}",
        f"target: {_scalar(source + '-grown')}",
        "seed: 0",
        "steps:",
        *_steps(model),
    ]
    return format_plan("\n".join(lines) + "\n", "yaml", "yaml")


def _relative(model: Path, folder: Path) -> str:
    """The model's path from the plan's folder, with a leading `./`."""
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
