"""Turn grammar/plan.lark into growplan/language/_tables.py: `python -m growplan.language.build_grammar`.

lark analyses the grammar; what a plan needs at run time is only the LALR table, the terminals and
the rules, written here as Python literals (lark itself takes 65 ms to import).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TABLES = HERE / "_tables.py"
HEADER = '''\
"""Generated from grammar/plan.lark by `python -m growplan.language.build_grammar`. Do not edit."""
# ruff: noqa
# fmt: off

'''


def grammar_path() -> Path:
    """plan.lark, in a wheel or in a checkout."""
    for folder in (HERE.parent / "_grammar", HERE.parent.parent / "grammar"):
        if (folder / "plan.lark").is_file():
            return folder / "plan.lark"
    raise FileNotFoundError("grammar/plan.lark")


def lark_parser(start: str = "statement") -> Any:
    """The grammar under lark's own LALR parser: the reference that the tables are tested against."""
    from lark import Lark

    text = grammar_path().read_text(encoding="utf-8")
    return Lark(text, parser="lalr", lexer="contextual", start=start, keep_all_tokens=True)


def _renumber(states: dict[int, dict[str, Any]], first: int) -> list[int]:
    """States in breadth-first order from the first one, edges by name: the same on every run."""
    order = [first]
    seen = {first}
    for state in order:
        for _, (action, argument) in sorted(states[state].items()):
            if action.name == "Shift" and argument not in seen:
                seen.add(argument)
                order.append(argument)
    return order


def _spelled(rule: Any) -> str:
    return f"{rule.origin.name} : {' '.join(symbol.name for symbol in rule.expansion)}"


def tables_text() -> str:
    """The text of _tables.py."""
    lark = lark_parser()
    table = lark.parser.parser._parse_table
    order = _renumber(table.states, table.start_states["statement"])
    number = {state: i for i, state in enumerate(order)}
    reduced = {
        argument
        for row in table.states.values()
        for action, argument in row.values()
        if action.name == "Reduce"
    }
    rules = sorted(reduced, key=_spelled)
    rule_number = {rule: i for i, rule in enumerate(rules)}
    used = {name for actions in table.states.values() for name in actions}
    terminals = [
        (t.name, t.pattern.type == "re", t.pattern.value)
        for t in sorted(lark.terminals, key=lambda t: (-t.priority, t.pattern.type == "re", t.name))
        if t.name in used
    ]
    lines = ["# (name, is a regular expression, pattern), in the order in which they are tried"]
    lines += [
        "TERMINALS: tuple[tuple[str, bool, str], ...] = (",
        *(f"    {row!r}," for row in terminals),
        ")",
    ]
    lines += ["# (name, number of symbols)"]
    lines += ["RULES: tuple[tuple[str, int], ...] = ("]
    lines += [f"    ({str(r.origin.name)!r}, {len(r.expansion)}),  # {_spelled(r)}" for r in rules]
    lines += [")"]
    lines += [
        "# symbol -> state to go to, or -(rule to reduce by) - 1",
        "STATES: tuple[dict[str, int], ...] = (",
    ]
    for state in order:
        cells = {
            name: number[argument] if action.name == "Shift" else -rule_number[argument] - 1
            for name, (action, argument) in sorted(table.states[state].items())
        }
        lines.append(f"    {cells!r},")
    lines += [")", f"START = 0\nEND = {number[table.end_states['statement']]}"]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLES.write_text(tables_text(), encoding="utf-8")
