"""Words as values: numbers, booleans, strings, and the unquoted words that are neither."""

from __future__ import annotations

import math
import re

from growplan.language.errors import Errors
from growplan.language.plan import Scalar
from growplan.language.words import Word

INTEGER = re.compile(r"-?(?:0|[1-9]\d*)")
FLOAT = re.compile(r"-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
# Unquoted words that some YAML reader takes for something else than the word itself.
TRAP = re.compile(
    r"""(?P<boolean> yes | Yes | YES | no | No | NO | on | On | ON | off | Off | OFF | y | Y | n | N
        | True | TRUE | False | FALSE )
      | (?P<null> ~ | null | Null | NULL )
      | (?P<octal> [-+]? 0 \d+ (?: \.\d* )? )
      | (?P<based> [-+]? 0 [xob] [0-9a-fA-F_]+ )
      | (?P<sixty> [-+]? \d+ (?: :\d\d? )+ (?: \.\d* )? )
      | (?P<underscore> [-+]? \d [\d_]* _ [\d_]* (?: \.[\d_]* )? )
      | (?P<signed> \+ [\d.] .* )
      | (?P<special> [-+]? \. (?: inf | Inf | INF | nan | NaN | NAN ) )
      | (?P<date> \d{4} - \d\d? - \d\d? .* )""",
    re.VERBOSE,
)
READ_AS = {
    "boolean": "a boolean by YAML 1.1, a word by YAML 1.2",
    "null": "nothing at all by YAML",
    "octal": "an octal number by YAML 1.1, a decimal by YAML 1.2",
    "based": "a number by YAML, a word by others",
    "sixty": "a base-60 number by YAML 1.1, a word by YAML 1.2",
    "underscore": "a number by YAML 1.1, a word by YAML 1.2",
    "signed": "a number by YAML, a word by others",
    "special": "not a finite number",
    "date": "a date by YAML 1.1, a word by YAML 1.2",
}
TRUTH = {"yes": "true", "on": "true", "y": "true", "true": "true"}
LARGEST = 2**53


def is_trap(text: str) -> bool:
    """Whether this text, unquoted, is refused as a value."""
    return TRAP.fullmatch(text) is not None


def check_trap(word: Word, errors: Errors, *, option: bool = False) -> bool:
    """Report a word that readers disagree on. True when it is one. `option`: it stands as one's value."""
    match = None if word.quoted else TRAP.fullmatch(word.text)
    if match is None:
        return False
    kind = match.lastgroup or ""
    help = [f'write `"{word.text}"` for the word']
    if kind == "boolean":
        help.insert(0, f"write `{TRUTH.get(word.text.lower(), 'false')}` for the boolean")
    elif kind == "octal" and word.text.lstrip("+-0").isdigit():
        help.insert(0, f"write `{word.text.lstrip('+-0')}` for the number")
    elif kind in ("underscore", "signed"):
        help.insert(0, f"write `{word.text.replace('_', '').lstrip('+')}` for the number")
    if option and (kind == "null" or word.text.lower() in ("no", "off", "n", "false")):
        help.insert(-1, "write `none` for an option that is off, such as `noise none`")
    notes = (("read as", READ_AS[kind]),)
    errors.add("GP009", f"unquoted `{word.text}` is ambiguous", word.span, notes=notes, help=help)
    return True


def scalar(word: Word, errors: Errors) -> Scalar | None:
    """The value of an option: int, float, bool or str. None (and an error) for a trap or overflow."""
    if word.quoted:
        return word.text
    if check_trap(word, errors, option=True):
        return None
    if word.text in ("true", "false"):
        return word.text == "true"
    if INTEGER.fullmatch(word.text):
        if len(word.text) <= 19:
            return int(word.text)
    elif not FLOAT.fullmatch(word.text):
        return word.text
    elif math.isfinite(number := float(word.text)):
        return number
    errors.add(
        "GP023", f"the number `{_short(word.text)}` is too large", word.span, help="quote it if it is a word"
    )
    return None


def whole(word: Word, errors: Errors, what: str, least: int = 1, most: int = LARGEST) -> int | None:
    """A whole number from `least` to `most`, or None (and an error naming `what`)."""
    if check_trap(word, errors):
        return None
    help = f"write a whole number, such as {max(least, 12)}"
    if word.quoted or not INTEGER.fullmatch(word.text):
        shown = f'"{word.text}"' if word.quoted else word.text
        errors.add("GP024", f"{what} must be a whole number, not `{_short(shown)}`", word.span, help=help)
        return None
    if len(word.text) > 20 or not least <= int(word.text) <= most:
        bound = f"at least {least}" if word.text.startswith("-") or len(word.text) <= 3 else f"at most {most}"
        message = f"{what} must be {bound}, not `{_short(word.text)}`"
        errors.add("GP023", message, word.span, help=f"write a number from {least} to {most}")
        return None
    return int(word.text)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
