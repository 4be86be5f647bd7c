"""The command line: `growplan.cli.app` runs, one file per command in `growplan.cli.commands`."""

from growplan.cli.app import cli, main

__all__ = ["cli", "main"]
