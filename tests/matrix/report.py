"""The matrix as a table: family x method, with the worst float64 error of each exact cell, as measured.

python -m tests.matrix.report              # through growplan's interpreter, from the written directory
python -m tests.matrix.report --stock      # through stock transformers too
python -m tests.matrix.report --family gpt2 --family llama
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.methods import default_method, method_names
from tests.matrix import cases as matrix
from tests.matrix.cases import Variant
from tests.matrix.run import by_interpreter, by_transformers, grow, inputs_for, worst, write_source

REFUSALS = {"GP201", "GP204"}  # of a type rule or a claim; anything else is a mistake of the case
STRENGTHS = ("exact", "approximate", "none", "refused")
Cell = tuple[str, str]  # family, method


@dataclass(frozen=True)
class Found:
    """One growth of one variant: what was proved, and how far the outputs are apart.

    `methods`: those of a growth as strong as the whole; all of them where it is exact.
    """

    variant: Variant
    steps: str
    strength: str  # a claim's, or `refused`
    methods: frozenset[str]
    error: float = 0.0  # of the outputs' spread, float64
    stock: float | None = None


def cases(families: Sequence[str]) -> Iterator[tuple[Variant, str]]:
    """Every variant with every first growth that it takes, and the pairs that the matrix lists one by one."""
    by_name = {variant.name: variant for variant in matrix.VARIANTS}
    pairs = [(v, steps) for v in matrix.VARIANTS for steps in matrix.FIRST if v.takes(steps)]
    for listed in vars(matrix).values():
        if isinstance(listed, tuple) and listed and isinstance(listed[0], tuple) and listed[0][0] in by_name:
            pairs += [(by_name[name], steps) for name, steps, *_ in listed]
    for variant, steps in dict.fromkeys(pairs):
        if not families or variant.family in families:
            yield variant, steps


def named(steps: str) -> frozenset[str]:
    """The methods that a growth names, or means."""
    plan = parse_text(steps, "<matrix>", "dsl")
    return frozenset(step.via or default_method(step.verb) or "" for step in plan.steps)


def measure(variant: Variant, source: Path, steps: str, target: Path, stock: bool) -> Found:
    """Grow one case and compare what source and written target compute."""
    try:
        grown = grow(source, steps, target)
    except DiagnosticError as error:
        if {d.code for d in error.diagnostics} <= REFUSALS:
            return Found(variant, steps, "refused", named(steps))
        raise
    strength = grown.typed.claim.strength
    weakest = frozenset(s.method for s in grown.typed.steps if s.proof.claim.strength == strength)
    inputs = inputs_for(grown.typed.source)
    error = worst(by_interpreter(source, inputs), by_interpreter(target, inputs))
    loaded = None
    if stock:
        loaded = worst(*(by_transformers(d, variant.architecture, inputs) for d in (source, target)))
    return Found(variant, steps, strength, weakest & named(steps), error, loaded)


def run(families: Sequence[str], stock: bool) -> Iterator[Found]:
    """Measure every case, one after the other."""
    with TemporaryDirectory(prefix="growplan-matrix-") as folder:
        sources: dict[str, Path] = {}
        for number, (variant, steps) in enumerate(cases(families)):
            if variant.name not in sources:
                sources[variant.name] = write_source(variant, Path(folder, variant.name))
            yield measure(variant, sources[variant.name], steps, Path(folder, str(number)), stock)


def table(found: Iterable[Found]) -> str:
    """Markdown: a row for each method, a column for each family."""
    cells: Mapping[Cell, list[Found]] = defaultdict(list)
    for each in found:
        for method in each.methods:
            cells[each.variant.family, method].append(each)
    families = list(dict.fromkeys(variant.family for variant in matrix.VARIANTS))
    families = [f for f in families if any(cell[0] == f for cell in cells)]
    rows = [["method", *families], ["---"] * (len(families) + 1)]
    rows += [
        [f"`{method}`", *(cell_text(cells[family, method]) for family in families)]
        for method in method_names()
        if any(cells[family, method] for family in families)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell_text(found: Sequence[Found]) -> str:
    """`exact 3.1e-15 (12)`: the worst error and the number of growths, for each strength."""
    parts = []
    for strength in STRENGTHS:
        some = [each for each in found if each.strength == strength]
        if some:
            parts.append(f"{strength}{_errors(some)} ({len(some)})")
    return "; ".join(parts) or "–"


def _errors(found: Sequence[Found]) -> str:
    if found[0].strength == "refused":
        return ""
    loaded = [each.stock for each in found if each.stock is not None]
    stock = f", stock {max(loaded):.1e}" if loaded else ""
    return f" {max(each.error for each in found):.1e}{stock}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stock", action="store_true", help="load by stock transformers too")
    parser.add_argument("--family", action="append", default=[], help="only this one; may be repeated")
    given = parser.parse_args()
    found = []
    for each in run(given.family, given.stock):
        print(f"{each.strength:<12}{each.error:8.1e}  {each.variant.name}: {each.steps}", file=sys.stderr)
        found.append(each)
    print(table(found))


if __name__ == "__main__":
    main()
