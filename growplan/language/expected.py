"""What to say when a statement does not fit the grammar: what was found, what would fit, a hint."""

from __future__ import annotations

import re

from growplan.language.errors import Errors
from growplan.language.lalr import KEYWORDS, Unexpected
from growplan.language.words import AXES, Text, suggest

FOUND = re.compile(r'"(?:\\.|[^"\\\n])*"|[^\s,;"]+|.')
VALUED = re.compile(r",\s*(?P<option>[\w-]+\s+-?[\d.]+)\s*\Z")  # an option with its number
FORMS = {  # of the statements of a stage
    "stage": "`stage NAME`, and below it what belongs to the stage",
    "train": "`train on PATH for N steps, OPTION VALUE`; or `for N tokens`, N such as 300, 20k or 2.5M",
    "freeze": "`freeze PART, PART`, such as `freeze embeddings, top 3`",
    "train-only": "`train-only PART, PART`, such as `train-only new-layers, head`",
}
DIGITS = re.compile(r"\d+\Z")
# Groups of terminals in the order in which they are listed, each under one description.
DESCRIPTIONS: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"LABEL"}), ""),
    (frozenset({"AXIS"}), f"an axis ({', '.join(AXES)})"),
    (frozenset({"FFN"}), "`ffn`"),
    (frozenset({"ARROW", "TO"}), "a size (`384→768`, `to 768` or `x2`)"),
    (frozenset({"ARROW"}), "`→ N`"),
    (frozenset({"INT"}), "a whole number"),
    (frozenset({"TO"}), "`to N`"),
    (frozenset({"TIMES"}), "`x N`"),
    (frozenset({"EXPERTS"}), "`experts`"),
    (frozenset({"METHOD"}), "a method (`fpi`, `net2net`, ...)"),
    (frozenset({"VIA"}), "`via METHOD`"),
    (frozenset({"ON"}), "`on PATH`"),
    (frozenset({"FOR"}), "`for N steps`"),
    (frozenset({"OVER"}), "`over N steps`"),
    (frozenset({"STEPS", "TOKENS"}), "`steps` or `tokens`"),
    (frozenset({"STEPS"}), "`steps`"),
    (frozenset({"COUNT"}), "a number (`300`, `20k`, `2.5M`)"),
    (frozenset({"KEY"}), "the name of an option"),
    (frozenset({"WORD"}), "a value"),
    (frozenset({"COMMA"}), "`, OPTION VALUE`"),
)
LAST_HINT = "`growplan explain GP020` shows the forms of a step"
NO_VALUE = "every option has a value: `, KEY VALUE`"


def describe(text: Text, start: int, end: int, unexpected: Unexpected, errors: Errors) -> None:
    """Report the first word of a statement that does not fit."""
    at = unexpected.offset
    match = FOUND.match(text.text, at, end) if at < end else None
    number = DIGITS.search(text.text, start, at)
    if number and match and re.match(r"\w", match.group()):
        span = text.span(number.start(), match.end())
        message = f"expected a whole number, found `{number.group()}{match.group()}`"
        errors.add("GP020", message, span, help="write every digit: no unit and no separator")
        return
    word = match.group() if match else ""
    span = text.span(at, match.end() if match else at)
    form = FORMS.get(text.text[start:end].split(maxsplit=1)[0])
    over = "the end of the statement" if form else "the end of the step"
    found = f"found `{word}`" if word else f"found {over}"
    message = f"expected {_alternatives(unexpected.expected, over)}, {found}"
    hints = _hints(text.text, start, at, word, unexpected.expected)
    if form and hints[0] in (LAST_HINT, NO_VALUE):
        hints = (f"write {form}",)
    errors.add("GP020", message, span, help=hints)


def _alternatives(expected: frozenset[str], over: str) -> str:
    left = set(expected) - {"QUOTED", "LABEL"}
    if {"ARROW", "TO"} <= left:
        left -= {"INT", "TIMES"}
    parts: list[str] = []
    for group, description in DESCRIPTIONS:
        if group <= left:
            left -= group
            parts.append(description)
    parts += [over] if "$END" in left else []
    parts += [f"`{KEYWORDS[name]}`" for name in sorted(left & KEYWORDS.keys())]
    return ", ".join(parts[:-1]) + " or " + parts[-1] if len(parts) > 1 else parts[0]


def _hints(text: str, start: int, at: int, word: str, expected: frozenset[str]) -> tuple[str, ...]:
    before = text[start:at]
    if word.startswith("${"):
        return ("`${...}` is replaced in YAML plans only, from their `vars:`",)
    if word.startswith(("=>", "–>", "⇒", "->")):
        return ("write the arrow as `→` or `->`, between two numbers",)
    if word.startswith(("=", ":")):
        return ("options are written `, KEY VALUE`: no `=` and no `:`",)
    if before.startswith("grow ") and " via " not in before:
        return ("`grow` needs a size for each axis and `via METHOD` before its options",)
    if word == "via" and "," in before:
        return ("one step for several axes is `grow AXIS A→B, AXIS A→B via METHOD`",)
    if "COMMA" in expected and word and re.fullmatch(r"[A-Za-z_][\w-]*", word):
        keywords = [KEYWORDS[name] for name in expected if name in KEYWORDS and name != "COMMA"]
        near = suggest(word, keywords)
        if near:
            return (f"did you mean `{near}`?",)
        if "VIA" in expected:
            return (f"write `via {word}` for a method, `, {word} VALUE` for an option",)
        rest, valued = text[at + len(word) :].partition("\n")[0].strip(), VALUED.search(before)
        if valued is not None and (not rest or rest.startswith((",", ";", "#"))):
            return (f"write `{valued['option']}`: an option has one value, without a unit",)
        return (f"write `, {word} VALUE` for an option",)
    if "WORD" in expected and not word:
        return (NO_VALUE,)
    if "INT" in expected:
        return ("a size is `768→1024`, `to 1024` or `x2`; leave it out where an equation gives it",)
    if before.rstrip().endswith("via"):
        return ("`growplan methods` lists the methods",)
    return (LAST_HINT,)
