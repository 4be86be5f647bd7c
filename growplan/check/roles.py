"""Which module puts out the queries and keys of a model's attention.

Queries and keys may be scaled and padded differently from values, so an axis expression alone
does not say what a projection becomes: its role does.
"""

from __future__ import annotations

from collections.abc import Mapping

from growplan.families.model import Call, Expr, Model, Name
from growplan.families.walk import subexpressions

Part = tuple[str, int]  # module, summand of its output axis
ROLES = ("q", "k", "v")


def attention_roles(model: Model) -> Mapping[Part, str]:
    """(module, part) -> `q`, `k` or `v`, for every attention of the block."""
    made_by: dict[str, Part] = {}
    roles: dict[Part, str] = {}
    for statement in model.block:
        for expr in subexpressions(statement.value):
            if isinstance(expr, Call) and expr.fn == "attention":
                for role, arg in zip(ROLES, expr.args, strict=True):
                    part = _part(arg, made_by)
                    if part is not None:
                        roles[part] = role
        for index, target in enumerate(statement.targets):
            part = _part(statement.value, made_by)
            if part is not None:
                made_by[target] = (part[0], index if len(statement.targets) > 1 else part[1])
    return roles


def _part(expr: Expr, made_by: Mapping[str, Part]) -> Part | None:
    """The projection behind a value; `rope` passes it on."""
    match expr:
        case Name(id):
            return made_by.get(id)
        case Call("rope", (inner,), _):
            return _part(inner, made_by)
        case Call(fn, _, _):
            return fn, 0
        case _:
            return None
