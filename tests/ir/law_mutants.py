"""Single faults planted in what a step says: its laws, its layers, where copies come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from growplan.algebra import Expansion, Root, Run
from growplan.ir.graph import BlockLaw, LearnedLaw, Step, TensorLaw
from growplan.ir.primitives import Cut
from growplan.ir.rings import RingGroup, RingLaw

TWO = Root.rational(2)


def faults_of_cut(cut: Cut) -> Iterator[tuple[str, Cut]]:
    """Cuts of other blocks, or put together otherwise."""
    yield "one later", replace(cut, start=cut.start + 1)
    yield "one earlier", replace(cut, start=cut.start - 1)
    yield "one less", replace(cut, count=cut.count - 1)
    yield "one more", replace(cut, count=cut.count + 1)
    yield "the other way across", replace(cut, across=cut.down)
    yield "turned round", replace(cut, transposed=not cut.transposed)


def faults_of_map(e: Expansion) -> Iterator[tuple[str, Expansion]]:
    """Maps of the same size that differ in one run."""
    for i, run in enumerate(e.runs):
        if run.kind != "copy":
            yield f"hole {i} copied", _with_run(e, i, Run("copy", run.count, 0)) if run.count <= e.old else e
            continue
        yield f"run {i} doubled", _with_run(e, i, replace(run, c=run.c * TWO))
        yield f"run {i} flipped", _with_run(e, i, replace(run, c=-run.c))
        yield f"run {i} not written", _with_run(e, i, Run("hole", run.count))
        for start in (run.start + 1, run.start - 1):
            if start >= 0 and start + run.count <= e.old:
                yield f"run {i} shifted", _with_run(e, i, replace(run, start=start))
        if run.count > 1:
            swapped = (Run("copy", 1, run.start + 1, run.c), Run("copy", 1, run.start, run.c))
            rest = Run("copy", run.count - 2, run.start + 2, run.c)
            yield f"run {i} swapped", Expansion(e.old, (*e.runs[:i], *swapped, rest, *e.runs[i + 1 :]))


def _with_run(e: Expansion, i: int, run: Run) -> Expansion:
    return Expansion(e.old, (*e.runs[:i], run, *e.runs[i + 1 :]))


def faults_of_step(step: Step) -> Iterator[tuple[str, Step]]:
    """What a step says, with one fault."""
    yield "numbered wrong", replace(step, index=step.index + 1)
    for i, law in enumerate(step.laws):
        for what, changed in _laws(law):
            yield (
                f"law of {law.tensor}: {what}",
                replace(step, laws=(*step.laws[:i], changed, *step.laws[i + 1 :])),
            )
        known = any(p.tensor == law.tensor for p in step.provenance)
        if not known:
            yield f"law of {law.tensor}: dropped", replace(step, laws=(*step.laws[:i], *step.laws[i + 1 :]))
    for i, learned in enumerate(step.learned):
        for what, changed_learned in _learned(learned):
            found = (*step.learned[:i], changed_learned, *step.learned[i + 1 :])
            yield f"learned law of {learned.tensor}: {what}", replace(step, learned=found)
        dropped = (*step.learned[:i], *step.learned[i + 1 :])
        yield f"learned law of {learned.tensor}: dropped", replace(step, learned=dropped)
    for i, ring in enumerate(step.rings):
        for what, changed_ring in _rings(ring):
            found_rings = (*step.rings[:i], changed_ring, *step.rings[i + 1 :])
            yield f"blocks of {ring.tensor}: {what}", replace(step, rings=found_rings)
        yield (
            f"blocks of {ring.tensor}: dropped",
            replace(step, rings=(*step.rings[:i], *step.rings[i + 1 :])),
        )
    for i, group in enumerate(step.groups):
        for what, changed_group in _groups(group):
            found_groups = (*step.groups[:i], changed_group, *step.groups[i + 1 :])
            yield f"group {group.name}: {what}", replace(step, groups=found_groups)
        yield f"group {group.name}: dropped", replace(step, groups=(*step.groups[:i], *step.groups[i + 1 :]))
    for i, claim in enumerate(step.provenance):
        others = [p.source for p in step.provenance if p.source != claim.source]
        for source in others[:1]:
            changed_claim = replace(claim, source=source)
            provenance = (*step.provenance[:i], changed_claim, *step.provenance[i + 1 :])
            yield f"provenance of {claim.tensor}: {source}", replace(step, provenance=provenance)
    for i, claim in enumerate(step.provenance):
        if claim.resample is not None:
            for changed in (None, replace(claim.resample, new=claim.resample.new + 1)):
                copy = replace(claim, resample=changed)
                provenance = (*step.provenance[:i], copy, *step.provenance[i + 1 :])
                yield f"provenance of {claim.tensor}: {changed}", replace(step, provenance=provenance)
    for i, (source, silent) in enumerate(step.layers):
        layers = (*step.layers[:i], (source + 1, silent), *step.layers[i + 1 :])
        yield f"layer {i} from another", replace(step, layers=layers)


def _laws(law: TensorLaw) -> Iterator[tuple[str, TensorLaw]]:
    if law.constant is not None:
        yield "doubled constant", replace(law, constant=law.constant * TWO)
        yield "no constant", replace(law, constant=None)
        return
    for what, e in faults_of_map(law.rows):
        yield f"rows, {what}", replace(law, rows=e)
    if law.cols is not None and law.rows.kinds != {"zero"}:  # 0 . E_in = 0 for any E_in
        for what, e in faults_of_map(law.cols):
            if "copied" not in what:  # a copy whose share is 0 is no lie
                yield f"cols, {what}", replace(law, cols=e)
    if law.col_dim is not None and law.rows != law.cols:  # of a square matrix that stays, no lie
        yield "dims swapped", replace(law, row_dim=law.col_dim, col_dim=law.row_dim)
        if law.cols is not None and not law.cols.is_identity:
            yield "no columns", replace(law, cols=None, col_dim=None)
    if isinstance(law, BlockLaw):
        yield from _blocks(law)
    yield "another source", replace(law, source=law.source + "x")
    for source, target in (("free", "zero"), ("zero", "free"), ("mean", "zero"), ("zero", "mean")):
        if source in law.rows.kinds and (source, target) != ("zero", "free"):
            yield f"rows, {source} as {target}", replace(law, rows=law.rows.map_kind(source, target))
        if law.cols is not None and source in law.cols.kinds and source == "zero":
            yield f"cols, {source} as {target}", replace(law, cols=law.cols.map_kind(source, target))


def _blocks(law: BlockLaw) -> Iterator[tuple[str, TensorLaw]]:
    if law.above is None:
        return
    yield "grafts nothing", replace(law, above=None)
    (a, b), *rest = law.above.at
    for what, above in (
        ("other slices", replace(law.above, at=((a, b - 1), *rest))),
        ("other dim", replace(law.above, dim=1 - law.above.dim)),
        ("its own layer", replace(law.above, source=law.source)),
        ("no layer", replace(law.above, source=law.above.source + "x")),
    ):
        yield f"grafts {what}", replace(law, above=above)


def _learned(law: LearnedLaw) -> Iterator[tuple[str, LearnedLaw]]:
    yield "another source", replace(law, source=law.source + "x")
    yield "one layer more", replace(law, layers=law.layers + 1)
    if law.layers:
        yield "one layer less", replace(law, layers=law.layers - 1)
        yield "other weights", replace(law, depth=law.depth + "x")
        yield "another row", replace(law, row=law.row + 1)
        if law.sides:
            yield "the other order", replace(law, widened_first=not law.widened_first)
    if law.rows is not None:
        yield "no rows", replace(law, rows=None)
        for what, e in faults_of_map(law.rows):
            yield f"rows, {what}", replace(law, rows=e)
    yield "another residual", replace(law, residual=law.residual + "x")
    if law.residual:
        yield "no residual", replace(law, residual="")
    for i, side in enumerate(law.sides):
        for what, changed in (
            ("another leaf", replace(side, leaf=side.leaf + "x")),
            ("one slice later", replace(side, start=side.start + 1)),
            ("units doubled", replace(side, inner=side.inner * 2)),
            ("the other kind", replace(side, whole=not side.whole)),
        ):
            yield f"side {i}: {what}", replace(law, sides=(*law.sides[:i], changed, *law.sides[i + 1 :]))
        yield f"side {i}: dropped", replace(law, sides=(*law.sides[:i], *law.sides[i + 1 :]))


def _rings(law: RingLaw) -> Iterator[tuple[str, RingLaw]]:
    yield "another layer", replace(law, layer=law.layer + 1)
    yield "no parts", replace(law, parts=())
    for i, (name, cut) in enumerate(law.parts):
        for what, part in (
            ("another group", (name + "x", cut)),
            *((what, (name, changed)) for what, changed in faults_of_cut(cut)),
        ):
            yield f"part {i}: {what}", replace(law, parts=(*law.parts[:i], part, *law.parts[i + 1 :]))
    if len(law.parts) > 1:
        yield "joined along another dim", replace(law, dim=1 - law.dim)
        yield "a part less", replace(law, parts=law.parts[:-1])


def _groups(group: RingGroup) -> Iterator[tuple[str, RingGroup]]:
    yield "called otherwise", replace(group, name=group.name + "x")
    yield "one layer less", replace(group, layers=group.layers - 1)
    yield "turned round", replace(group, rows=group.cols, cols=group.rows)
    yield "half as many rows", replace(group, rows=group.rows // 2)
    for i, core in enumerate(group.cores):
        cores = (*group.cores[:i], core + "x", *group.cores[i + 1 :])
        yield f"core {i} another", replace(group, cores=cores)  # type: ignore[arg-type]
    for i, (name, cut) in enumerate(group.members):
        for what, member in (
            ("another tensor", (name + "x", cut)),
            *((what, (name, changed)) for what, changed in faults_of_cut(cut)),
        ):
            members = (*group.members[:i], member, *group.members[i + 1 :])
            yield f"member {i}: {what}", replace(group, members=members)
    if len(group.members) > 1:
        yield "the other order", replace(group, members=group.members[::-1])
