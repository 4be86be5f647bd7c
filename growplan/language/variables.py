"""`${name}` in the scalars of a YAML plan."""

from __future__ import annotations

import re
from collections.abc import Mapping

from growplan.language.errors import Errors
from growplan.language.located import as_word, locate
from growplan.language.nodes import ScalarNode
from growplan.language.words import Text, Word, did_you_mean

REFERENCE = re.compile(r"\$(\$\{)|\$\{([^{}]*)(\}?)")
NAME = re.compile(r"[A-Za-z_][\w-]*")
LONGEST = 10_000


class Variables:
    """The `vars:` of a plan and its parents, with `--set vars.NAME=` applied.

    `Variables(None)` leaves every reference as it is written (for the formatter).
    """

    def __init__(self, values: Mapping[str, Word] | None) -> None:
        self.values = values

    def text(self, node: ScalarNode, errors: Errors) -> Text | None:
        """A scalar's text with its references replaced; None when one was reported (or cannot be)."""
        if self.values is None and "${" in node.text:
            return None
        return self.replace(locate(node), errors)

    def word(self, node: ScalarNode, errors: Errors) -> Word | None:
        """A scalar as one word. One that is nothing but a reference is what the variable is."""
        text = locate(node)
        found = REFERENCE.fullmatch(text.text.strip())
        if self.values is not None and found and found[2] is not None and found[2] in self.values:
            value = self.values[found[2]]
            return Word(value.text, node.span, value.quoted)
        replaced = self.replace(text, errors)
        return None if replaced is None else as_word(node, replaced)

    def replace(self, text: Text, errors: Errors) -> Text | None:
        if self.values is None or "${" not in text.text:
            return text
        before, errors_before = text.places(), len(errors.found)
        chars: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        at = 0
        for found in REFERENCE.finditer(text.text):
            chars.append(text.text[at : found.start()])
            starts += before[0][at : found.start()]
            ends += before[1][at : found.start()]
            value = self._value(text, found, errors)
            chars.append(value)
            starts += [before[0][found.start()]] * len(value)
            ends += [before[1][found.end() - 1]] * len(value)
            at = found.end()
            if len(starts) > LONGEST:
                message = "too long once its variables are replaced"
                errors.add("GP033", message, text.span(0, len(text)), help="shorten the variables it names")
                return None
        chars.append(text.text[at:])
        starts += before[0][at:]
        ends += before[1][at:]
        if len(errors.found) > errors_before:
            return None
        return Text("".join(chars), text.source, text.span(0, 0).start, starts, ends)

    def _value(self, text: Text, found: re.Match[str], errors: Errors) -> str:
        if found[1]:
            return "${"
        name, span = found[2].strip(), text.span(*found.span())
        assert self.values is not None
        if not found[3]:
            errors.add(
                "GP033", "`${` without its `}`", span, help="write `${name}`, or `$${` for the characters"
            )
        elif name not in self.values:
            otherwise = f"add `{name}: ...` under `vars:`" if NAME.fullmatch(name) else "write `${name}`"
            help = did_you_mean(name, list(self.values), otherwise)
            errors.add("GP033", f"no variable `{name}`", span, help=help)
        else:
            return self.values[name].text
        return ""
