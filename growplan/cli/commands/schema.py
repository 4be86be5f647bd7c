"""`growplan schema`: the JSON Schema of plans."""

from __future__ import annotations

import json

from growplan.cli import options
from growplan.cli.console import Console


@options.command()
def command(console: Console) -> None:
    """Print the JSON Schema (draft-07) of YAML plans, for editors."""
    from growplan.language import json_schema
    from growplan.views.report import document

    schema = json_schema()
    if console.as_json:
        console.raw(document("schema", {"schema": schema}))
    else:
        console.raw(json.dumps(schema, indent=2, ensure_ascii=False))
