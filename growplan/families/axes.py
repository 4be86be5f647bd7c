"""The first type check of a family file: axis expressions through its statements.

This catches a family file that does not hang together, before any config is read: a module
fed the wrong axis, a residual sum of two widths, a fused projection cut in the wrong parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from growplan.diagnostics import Span
from growplan.families.model import Assign, AxisExpr, Family, Module
from growplan.families.ops import INPUTS
from growplan.families.problems import Problems
from growplan.families.statements import used_modules
from growplan.families.walk import run

Located = list[tuple[Assign, Span]]
STREAM = AxisExpr((("hidden",),))
POSITIONS = AxisExpr((("positions",),))
ONE_HEAD = AxisExpr((("head_dim",),))
INDEX: Mapping[str, str] = {"ids": "vocab", "positions": "positions", "types": "types"}


class AxisError(Exception):
    """A statement whose axes do not fit."""


class _Axes:
    """`walk.Ops` over axis expressions."""

    def module(self, module: Module, x: AxisExpr) -> AxisExpr:
        if module.is_norm and module.outs == ONE_HEAD and x != ONE_HEAD:
            _heads(x, module.name)
            return x  # each head by itself
        wanted = module.outs if module.ins is None else module.ins
        if x != wanted and not (module.in_expert and x == _each(wanted)):
            raise AxisError(f"`{module.name}` reads {wanted}, given {x}")
        return _each(module.outs) if module.in_expert else module.outs

    def op(self, name: str, args: Sequence[AxisExpr | Module], kwargs: Mapping[str, Any]) -> AxisExpr:
        if name == "tied":
            embedding, x = args
            assert isinstance(embedding, Module) and isinstance(x, AxisExpr) and embedding.ins is not None
            if x != embedding.outs:
                raise AxisError(f"`tied` reads {embedding.outs}, given {x}")
            return embedding.ins
        if name == "prepend":
            token, x = args
            assert isinstance(token, Module) and isinstance(x, AxisExpr)
            return _same(token.outs, x, "prepend")
        values = [arg for arg in args if isinstance(arg, AxisExpr)]
        if name == "attention":
            return _attention(*values)
        if name == "route":
            return _route(*values)
        if name == "rope":
            _heads(values[0], "rope")
        if name == "average":
            _same(values[0], values[1], name)
        if name == "offset":
            return AxisExpr(((kwargs["by"],), *_index(values[0], "positions", name).terms))
        if name == "token_positions":
            _index(values[0], "vocab", name)
            return POSITIONS
        return values[0]

    def add(self, a: AxisExpr, b: AxisExpr) -> AxisExpr:
        return _same(a, b, "+")

    def mul(self, a: AxisExpr, b: AxisExpr) -> AxisExpr:
        return _same(a, b, "*")

    def split(self, x: AxisExpr, module: Module, parts: int) -> Sequence[AxisExpr]:
        if len(x.terms) != parts:
            raise AxisError(f"`{module.name}` has {len(x.terms)} parts, {parts} names given")
        return x.split()


def _same(a: AxisExpr, b: AxisExpr, sign: str) -> AxisExpr:
    if a != b:
        raise AxisError(f"`{sign}` of {a} and {b}")
    return a


def _index(x: AxisExpr, axis: str, op: str) -> AxisExpr:
    if x != AxisExpr(((axis,),)):
        raise AxisError(f"`{op}` reads {'ids' if axis == 'vocab' else axis}, given {x}")
    return x


def _each(x: AxisExpr) -> AxisExpr:
    """`x` of each expert."""
    return AxisExpr(tuple(("experts", *term) for term in x.terms))


def _route(scores: AxisExpr, z: AxisExpr) -> AxisExpr:
    """Scores over the experts, a value of each expert: the value all tokens go on with."""
    if scores != AxisExpr((("experts",),)):
        raise AxisError(f"`route` reads scores over experts, given {scores}")
    if any(term[0] != "experts" or len(term) < 2 for term in z.terms):
        raise AxisError(f"`route` reads a value of each expert, given {z}")
    return AxisExpr(tuple(term[1:] for term in z.terms))


def _heads(x: AxisExpr, op: str) -> str | int:
    if len(x.terms) != 1 or len(x.terms[0]) != 2:
        raise AxisError(f"`{op}` reads heads * head_dim, given {x}")
    heads, head_dim = x.terms[0]
    if head_dim != "head_dim" or heads not in ("heads", "kv_heads"):
        raise AxisError(f"`{op}` reads heads * head_dim, given {x}")
    return heads


def _attention(q: AxisExpr, k: AxisExpr, v: AxisExpr) -> AxisExpr:
    _heads(k, "attention")
    if k != v or _heads(q, "attention") != "heads":
        raise AxisError(f"`attention` of q {q}, k {k}, v {v}")
    return q


def check_use(family: Family, places: Mapping[str, Span], problems: Problems) -> None:
    """Report modules that no statement uses, and layer modules outside the block (GP344)."""
    modules = {m.name: m for m in family.modules}
    in_block = used_modules(family.block, modules)
    elsewhere = used_modules(family.embed, modules)
    for head in family.heads.values():
        elsewhere |= used_modules(head, modules)
    for name, module in modules.items():
        if name not in in_block and name not in elsewhere:
            help = "use it in `embed`, `block` or `heads`, or list its tensors under `outside`"
            problems.add("GP344", f"no statement uses `{name}`", places[name], help=help)
        elif module.in_layer != (name in in_block) or (name in in_block and name in elsewhere):
            wanted = "the block" if module.in_layer else "embed or heads"
            help = "a module inside the layers is used by `block`, any other by `embed` or `heads`"
            problems.add("GP344", f"`{name}` belongs in {wanted}", places[name], help=help)


def check_axes(
    family: Family, embed: Located, block: Located, heads: Mapping[str, Located], problems: Problems
) -> None:
    """Report every statement that does not type (GP345)."""
    modules = {m.name: m for m in family.modules}
    axes = {rule.axis for rule in family.sizes}
    names = INPUTS[family.input]
    inputs = {name: AxisExpr(((INDEX[name],),)) for name in names if INDEX.get(name) in axes}
    for module in family.modules:
        if module.kind == "patches" and module.ins is not None and "pixels" in names:
            inputs["pixels"] = module.ins
    end = _run(embed, inputs, modules, problems)
    _ends_in_stream(end, embed, "embed", problems)
    end = _run(block, {"x": STREAM}, modules, problems)
    _ends_in_stream(end, block, "block", problems)
    for statements in heads.values():
        _run(statements, {"x": STREAM}, modules, problems)


def _run(
    statements: Located, env: dict[str, AxisExpr], modules: Mapping[str, Module], problems: Problems
) -> dict[str, AxisExpr] | None:
    for statement, span in statements:
        try:
            env = run([statement], env, modules, _Axes())
        except AxisError as error:
            help = "correct the statement, or the axes of the module under `modules`"
            problems.add("GP345", str(error), span, help=help)
            return None
        except KeyError as error:
            help = f"values here: {', '.join(sorted(env))}"
            problems.add("GP344", f"`{error.args[0]}` has no value here", span, help=help)
            return None
    return env


def _ends_in_stream(
    env: dict[str, AxisExpr] | None, statements: Located, section: str, problems: Problems
) -> None:
    if env is not None and env.get("x") != STREAM:
        span = statements[-1][1] if statements else None
        message = f"`{section}` must leave the stream in `x`: hidden, not {env.get('x')}"
        problems.add("GP345", message, span, help="let the last statement assign `x`")
