"""A grown vocabulary beside the tokenizer that gives out its ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from growplan.check.typed import TypedPlan
from growplan.checkpoint.tokenizer import read_tokenizer
from growplan.diagnostics import Diagnostic


def tokenizer_findings(typed: TypedPlan, source: Path) -> Iterator[Diagnostic]:
    """What a user should know of tokens and rows, where a step grows the vocabulary.

    Only then are the tokenizer's files read.
    """
    grown = [step for step in typed.steps if any(a == "vocab" and o != n for a, o, n in step.axes)]
    tokenizer = read_tokenizer(source) if grown else None
    if tokenizer is None:
        return
    span, (old, new) = grown[-1].span, (typed.source.sizes["vocab"], typed.target.sizes["vocab"])
    if tokenizer.size is None:
        yield Diagnostic(
            "GP373",
            f"`{tokenizer.file}` of the source cannot be read, so its tokens are not held against the vocab",
            span,
            help=("save the tokenizer again by transformers' `save_pretrained`",),
            severity="warning",
        )
    elif tokenizer.size > new:
        yield Diagnostic(
            "GP372",
            f"the tokenizer gives out {tokenizer.size} ids, the grown vocab has {new} rows: "
            f"ids {new}:{tokenizer.size} have none",
            span,
            (("tokenizer", tokenizer.file),),
            (f"`widen vocab to {tokenizer.size}`, or more",),
            severity="warning",
        )
    elif (unnamed := new - max(old, tokenizer.size)) > 0:
        rows = "row has" if unnamed == 1 else "rows have"
        yield Diagnostic(
            "GP371",
            f"{unnamed} new {rows} no token yet: the tokenizer gives out {tokenizer.size} ids, "
            f"the vocab grows {old}→{new}",
            span,
            (("tokenizer", f"{tokenizer.file}, carried as it is"),),
            ("add the tokens to the result's tokenizer (`tokenizer.add_tokens`), and save it there",),
            severity="note",
        )
