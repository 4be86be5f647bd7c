"""Reading the op graph of a mixture of experts: its router, its ffn, and its block without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from growplan.families.model import Add, Assign, Call, Expr, Model, Mul, Name
from growplan.families.walk import subexpressions


def expand(statements: Sequence[Assign]) -> dict[str, Expr]:
    """Value -> its expression with every local name written out; `f[1]` is a part of a fused `f`."""
    out: dict[str, Expr] = {}
    for statement in statements:
        value = _written_out(statement.value, out)
        if len(statement.targets) == 1:
            out[statement.targets[0]] = value
            continue
        assert isinstance(value, Call)
        out |= {t: Call(f"{value.fn}[{i}]", value.args) for i, t in enumerate(statement.targets)}
    return out


def of_dense(values: Mapping[str, Expr], dense: Mapping[str, str]) -> dict[str, Expr]:
    """The values with route(_, z) = z and each module called by the one it is made from."""
    return {name: _dense(value, dense) for name, value in values.items()}


def route_of(model: Model) -> Call | None:
    """The block's `route(scores, z)` with local names written out, None where there is none."""
    values: Iterable[Expr] = expand(model.block).values()
    inner = (e for value in values for e in subexpressions(value))
    return next((e for e in inner if isinstance(e, Call) and e.fn == "route"), None)


def router_of(model: Model) -> str:
    """The module that scores the experts."""
    route = route_of(model)
    assert route is not None and isinstance(route.args[0], Call)
    return route.args[0].fn


def ffn_roles(model: Model) -> dict[str, str]:
    """`gate`, `up` and `down` -> the module of an expert: down(act(gate y) * up y), or down(act(up y))."""
    route = route_of(model)
    assert route is not None
    z = route.args[1]
    modules = [e.fn for e in subexpressions(z) if isinstance(e, Call) and e.fn in model.modules]
    down, *inner = [name for name in modules if model.modules[name].in_expert]
    product = next((e for e in subexpressions(z) if isinstance(e, Mul)), None)
    if product is None:
        return {"down": down, "up": inner[0]}
    gate = next(name for side in (product.left, product.right) if (name := _under_activation(side, model)))
    up = next(name for name in inner if name != gate)
    return {"gate": gate, "up": up, "down": down}


def _under_activation(side: Expr, model: Model) -> str | None:
    """The module of act(module(y)); None where `side` is a module's output itself."""
    if isinstance(side, Call) and side.fn not in model.modules and isinstance(side.args[0], Call):
        return side.args[0].fn
    return None


def _written_out(expr: Expr, values: Mapping[str, Expr]) -> Expr:
    match expr:
        case Name(id):
            return values.get(id, expr)
        case Add(left, right):
            return Add(_written_out(left, values), _written_out(right, values))
        case Mul(left, right):
            return Mul(_written_out(left, values), _written_out(right, values))
        case Call(fn, args, kwargs):
            return Call(fn, tuple(_written_out(arg, values) for arg in args), kwargs)
    return expr


def _dense(expr: Expr, dense: Mapping[str, str]) -> Expr:
    match expr:
        case Add(left, right):
            return Add(_dense(left, dense), _dense(right, dense))
        case Mul(left, right):
            return Mul(_dense(left, dense), _dense(right, dense))
        case Call("route", (_, z), _):
            return _dense(z, dense)
        case Call(fn, args, kwargs):
            return Call(dense.get(fn, fn), tuple(_dense(arg, dense) for arg in args), kwargs)
    return expr
