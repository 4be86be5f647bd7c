"""Which module puts out the queries and keys of a model's attention, and the gate of its ffn.

Queries and keys may be scaled and padded differently from values, so an axis expression alone
does not say what a projection becomes: its role does. Where a norm over single heads stands
between (Qwen3), its role decides what it puts out, and so what the projection must feed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from growplan.check.rules import Refusal
from growplan.families.axes import ONE_HEAD
from growplan.families.model import Call, Const, Expr, Model, Mul, Name
from growplan.families.walk import subexpressions

Part = tuple[str, int]  # module, summand of its output axis
ROLES = ("q", "k", "v")


@dataclass(frozen=True)
class Roles:
    """The roles of a block: of projections, and of norms over single heads."""

    parts: dict[Part, str] = field(default_factory=dict)  # part -> q, k, v
    norms: dict[str, str] = field(default_factory=dict)  # norm over single heads -> q, k, v
    behind: dict[Part, str] = field(default_factory=dict)  # part -> the norm it goes through
    gates: set[Part] = field(default_factory=set)  # factors that go through an activation

    @property
    def normed(self) -> frozenset[str]:
        """The roles that a norm stands before."""
        return frozenset(self.norms.values())


@dataclass(frozen=True)
class _Made:
    """Where a value comes from: a projection, and the norm over single heads on the way."""

    part: Part
    norm: str | None = None


def attention_roles(model: Model) -> Roles:
    """The role of every projection and norm that an attention of the block reads through.

    Raises Refusal where one norm serves two roles, which may need two scales.
    """
    made_by: dict[str, _Made] = {}
    roles = Roles()
    for statement in model.block:
        for expr in subexpressions(statement.value):
            if isinstance(expr, Call) and expr.fn == "attention":
                for role, arg in zip(ROLES, expr.args, strict=True):
                    _assign(roles, role, _made(arg, made_by, model))
            if isinstance(expr, Mul):
                made = [_made(_activated(side, model), made_by, model) for side in (expr.left, expr.right)]
                roles.gates.update(each.part for each in made if each is not None)
        found = _made(statement.value, made_by, model)
        for index, target in enumerate(statement.targets):
            if found is not None:
                part = (found.part[0], index) if len(statement.targets) > 1 else found.part
                made_by[target] = _Made(part, found.norm)
    return roles


def _activated(expr: Expr, model: Model) -> Expr:
    """The value under an activation: x of `silu(x)`; for anything else a constant, which nothing made."""
    match expr:
        case Call(fn, (value,), _) if fn not in model.modules:
            return value
        case _:
            return Const(True)


def _assign(roles: Roles, role: str, made: _Made | None) -> None:
    if made is None:
        return
    roles.parts[made.part] = role
    if made.norm is None:
        return
    roles.behind[made.part] = made.norm
    if roles.norms.setdefault(made.norm, role) != role:
        found = f"one for {roles.norms[made.norm]} and {role}"
        raise Refusal("a norm each for queries, keys and values", found, made.norm)


def _made(expr: Expr, made_by: Mapping[str, _Made], model: Model) -> _Made | None:
    """The projection behind a value; `rope` and a norm over single heads pass it on."""
    match expr:
        case Name(id):
            return made_by.get(id)
        case Call("rope", (inner,), _):
            return _made(inner, made_by, model)
        case Call(fn, (inner,), _) if is_head_norm(model, fn):
            made = _made(inner, made_by, model)
            return None if made is None else _Made(made.part, fn)
        case Call(fn, _, _):
            return _Made((fn, 0))
        case _:
            return None


def is_head_norm(model: Model, name: str) -> bool:
    """Whether a module is a norm over the units of one head."""
    module = model.modules.get(name)
    return module is not None and module.is_norm and module.outs == ONE_HEAD
