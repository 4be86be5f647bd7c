"""`growplan new`: a starter plan for a model."""

from __future__ import annotations

from pathlib import Path

import click

from growplan.cli import options
from growplan.cli.console import Console


@options.command()
@click.argument("model_dir", metavar="MODEL")
@click.option("-o", "--out", metavar="FILE", help="Where to write it; `-` prints it.")
@click.option(
    "--stages", "data", metavar="DATA", help="With stages, trained on DATA: a text, token ids, images."
)
@options.family_option
def command(console: Console, model_dir: str, out: str | None, data: str | None, family: str | None) -> None:
    """Write a starter plan next to a model directory; never overwrites a file.

    It has one step for `growplan apply`; with --stages it grows the model while it trains, by
    `growplan train`. Either checks as it stands.
    """
    from growplan.cli.starter import starter, write_new
    from growplan.views.starter import StarterReport

    if out == "-" and not console.as_json:
        return console.raw(starter(model_dir, Path(), family, data))
    path = Path(out) if out else _beside(model_dir)
    text = starter(model_dir, path.parent, family, data)
    write_new(path, text)
    return console.emit(StarterReport(str(path), text))


def _beside(model_dir: str) -> Path:
    """`models/minilm` -> `models/minilm-grown.grow.yaml`."""
    folder = Path(model_dir).resolve() if Path(model_dir).name in ("", "..") else Path(model_dir)
    return folder.parent / f"{folder.name}-grown.grow.yaml"
