"""Statements of a family file: `x = x + h.mlp.c_proj(gelu(h.mlp.c_fc(h.ln_2(x))))`.

Parsed by `ast` with a whitelist of nodes into `growplan.families.model` expressions.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from growplan.diagnostics import Span
from growplan.families.model import (
    Add,
    Assign,
    Call,
    Const,
    Expr,
    Module,
    ModuleKind,
    ModuleRef,
    Mul,
    Name,
    names_read,
)
from growplan.families.ops import OPS, Signature
from growplan.families.problems import Problems, close_to
from growplan.families.text import Text
from growplan.families.walk import subexpressions

MAX_DEPTH = 64
LARGEST = 1 << 20  # of a whole number in a call
EXAMPLE = "write for example `x = x + h.mlp.c_proj(gelu(h.mlp.c_fc(h.ln_2(x))))`"
ACT = "act"  # the operation a family's `act:` key names


class Reader:
    """Reads statements over one set of modules; reports everything it cannot read."""

    def __init__(self, modules: Mapping[str, Module], problems: Problems, has_act: bool) -> None:
        self.modules = modules
        self.problems = problems
        self.has_act = has_act
        self._text: Text | None = None
        self._depth = 0

    def read(self, text: Text) -> list[tuple[Assign, Span]]:
        """The statements of a block with the span of each."""
        self._text = text
        try:
            body = ast.parse(text.value.strip(" ") if text.plain else text.value).body
        except SyntaxError as error:
            line, column = max((error.lineno or 1) - 1, 0), max((error.offset or 1) - 1, 0)
            place = text.at(line, column, column + 1)
            self.problems.add("GP343", f"not a statement: {error.msg}", place, help=EXAMPLE)
            return []
        except (ValueError, RecursionError, MemoryError) as error:
            self.problems.add("GP343", f"not a statement: {error}", text.span, help=EXAMPLE)
            return []
        out: list[tuple[Assign, Span]] = []
        for node in body:
            out += [(statement, self._span(node)) for statement in self._statement(node)]
        return out

    def _span(self, node: ast.AST) -> Span:
        assert self._text is not None
        line = getattr(node, "lineno", 1) - 1
        start = getattr(node, "col_offset", 0)
        same_line = getattr(node, "end_lineno", None) == line + 1
        end = getattr(node, "end_col_offset", None) if same_line else None
        return self._text.at(line, start, end if end is not None else start + 1)

    def _bad(self, node: ast.AST, message: str, *help: str, code: str = "GP343") -> None:
        self.problems.add(code, message, self._span(node), help=help or EXAMPLE)

    def _statement(self, node: ast.stmt) -> list[Assign]:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            self._bad(node, "a statement is `name = expression`")
            return []
        target = node.targets[0]
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        words = tuple(name.id for name in names if isinstance(name, ast.Name))
        if len(words) != len(names) or not words:
            self._bad(target, "the left of a statement is a name, or several names")
            return []
        if isinstance(node.value, ast.Tuple):
            return self._parallel(node, words, node.value.elts)
        value = self._expr(node.value)
        if value is None:
            return []
        if len(words) > 1 and not (isinstance(value, Call) and value.fn in self.modules):
            self._bad(node.value, "only a module whose output is a sum of axes has several parts")
            return []
        return [Assign(words, value)]

    def _parallel(self, node: ast.Assign, words: tuple[str, ...], values: list[ast.expr]) -> list[Assign]:
        """`q, k = a(y), b(y)` as two statements; none may read what an earlier one assigns."""
        found = [self._expr(value) for value in values]
        parsed = [value for value in found if value is not None]
        if len(parsed) != len(found):
            return []
        read = {name for value in parsed[1:] for name in names_read(value)}
        if len(words) != len(parsed) or read & set(words[:-1]):
            self._bad(node, "as many names as values, and none of the values may read one of the names")
            return []
        return [Assign((word,), value) for word, value in zip(words, parsed, strict=True)]

    def _expr(self, node: ast.expr) -> Expr | None:
        if self._depth >= MAX_DEPTH:
            self._bad(node, f"nested deeper than {MAX_DEPTH}")
            return None
        self._depth += 1
        try:
            return self._inner(node)
        finally:
            self._depth -= 1

    def _inner(self, node: ast.expr) -> Expr | None:
        match node:
            case ast.BinOp(left=left, op=ast.Add() | ast.Mult() as op, right=right):
                a, b = self._expr(left), self._expr(right)
                if a is None or b is None:
                    return None
                return Add(a, b) if isinstance(op, ast.Add) else Mul(a, b)
            case ast.Call():
                return self._call(node)
            case ast.Name(id=word):
                return Name(word)
        self._bad(node, "expressions are made of names, calls, + and *")
        return None

    def _call(self, node: ast.Call) -> Call | None:
        fn = dotted(node.func)
        if fn is None:
            self._bad(node.func, "only modules and operations are called")
            return None
        if fn in self.modules:
            return self._module_call(node, fn)
        signature = OPS["gelu"] if fn == ACT and self.has_act else OPS.get(fn)
        if signature is None:
            known = [*self.modules, *OPS]
            help = (*close_to(fn, known), f"operations: {', '.join(OPS)}; modules stand under `modules`")
            self._bad(node.func, f"`{fn}` is no module and no operation", *help, code="GP344")
            return None
        if len(node.args) != signature.args:
            self._bad(node, f"`{fn}` takes {signature.args} values, {len(node.args)} given")
            return None
        flags = self._flags(node, fn, signature)
        args: list[Expr | None] = []
        for i, arg in enumerate(node.args):
            on = signature.on_module if i == 0 else None
            args.append(self._module_ref(arg, on) if on else self._expr(arg))
        values = tuple(arg for arg in args if arg is not None)
        return Call(fn, values, flags) if flags is not None and len(values) == len(args) else None

    def _module_call(self, node: ast.Call, fn: str) -> Call | None:
        if len(node.args) != 1 or node.keywords:
            self._bad(node, f"the module `{fn}` takes one value")
            return None
        if _is_token(self.modules[fn]):
            help = f"write `prepend({fn}, x)`"
            self._bad(node, f"`{fn}` is a stored token, which reads nothing", help)
            return None
        value = self._expr(node.args[0])
        return None if value is None else Call(fn, (value,))

    def _module_ref(self, node: ast.expr, kind: ModuleKind) -> ModuleRef | None:
        """A module as a value: an embedding, or a parameter that is a token."""
        name = dotted(node)
        fit = [
            m.name for m in self.modules.values() if m.kind == kind and (kind != "parameter" or _is_token(m))
        ]
        if name in fit:
            return ModuleRef(name)
        word = "embedding" if kind == "embedding" else "stored token (`parameter hidden`)"
        help = f"here: {', '.join(fit) or 'none'}"
        self._bad(node, f"`{name or '?'}` is no {word}", help, code="GP344")
        return None

    def _flags(self, node: ast.Call, fn: str, signature: Signature) -> tuple[tuple[str, Const], ...] | None:
        wanted = (*signature.flags, *signature.numbers)
        forms = [f"{f}=True or False" for f in signature.flags] + [f"{n}=2" for n in signature.numbers]
        given: dict[str, Const] = {}
        for keyword in node.keywords:
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            is_flag = keyword.arg in signature.flags and isinstance(value, bool)
            is_number = keyword.arg in signature.numbers and type(value) is int and 0 < value < LARGEST
            if keyword.arg is None or not isinstance(value, int) or not (is_flag or is_number):
                self._bad(keyword, f"`{fn}` takes {', '.join(forms) or 'no options'}")
                return None
            given[keyword.arg] = Const(value)
        for form, word in zip(forms, wanted, strict=True):
            if word not in given:
                self._bad(node, f"`{fn}` needs {form}")
                return None
        return tuple((word, given[word]) for word in wanted)


def _is_token(module: Module) -> bool:
    return module.kind == "parameter" and module.ins is None


def dotted(node: ast.expr) -> str | None:
    """`h.attn.c_attn` of an attribute chain, or None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


# resolving against a config --------------------------------------------------------------------


def resolve(statements: tuple[Assign, ...], act: str | None, off: frozenset[str]) -> tuple[Assign, ...]:
    """The statements with `act` named and the modules in `off` (the identity) taken out."""
    return tuple(replace(s, value=_resolved(s.value, act, off)) for s in statements)


def _resolved(expr: Expr, act: str | None, off: frozenset[str]) -> Expr:
    match expr:
        case Add(left, right):
            return Add(_resolved(left, act, off), _resolved(right, act, off))
        case Mul(left, right):
            return Mul(_resolved(left, act, off), _resolved(right, act, off))
        case Call(fn, (arg,), _) if fn in off:
            return _resolved(arg, act, off)
        case Call(fn, args, kwargs):
            name = act if fn == ACT and act else fn
            return Call(name, tuple(_resolved(a, act, off) for a in args), kwargs)
    return expr


def used_modules(statements: tuple[Assign, ...], modules: Mapping[str, Module]) -> dict[str, None]:
    """The modules that statements call or refer to, in order of first use."""
    out: dict[str, None] = {}
    for statement in statements:
        for e in subexpressions(statement.value):
            name = e.fn if isinstance(e, Call) else e.module if isinstance(e, ModuleRef) else None
            if name is not None and name in modules:
                out[name] = None
    return out
