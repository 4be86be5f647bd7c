"""`growplan verify`: is a grown checkpoint still what was written?"""

from __future__ import annotations

import click

from growplan.cli import options
from growplan.cli.console import Console


@options.command()
@click.argument("directory", metavar="DIR")
def command(console: Console, directory: str) -> int:
    """Re-check a grown checkpoint: config, headers, every tensor and recorded file against growth.json.

    Fails where there is no growth.json. README.md is yours to edit; files put there later are named.
    """
    from growplan.checkpoint.verify import verify
    from growplan.cli.progress import byte_progress
    from growplan.views.record import VerifyReport

    with byte_progress(console, "verify") as progress:
        report = VerifyReport(directory, verify(directory, progress))
    console.emit(report, ok=report.ok)
    console.diagnose(report.findings)
    return int(not report.ok)
