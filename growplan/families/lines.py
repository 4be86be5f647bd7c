"""One-line notations of a family file: modules and sizes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import get_args

from growplan.families.expr import ExpressionError, parse_axes, size_names
from growplan.families.model import AxisExpr, Module, ModuleKind, SizeRule
from growplan.families.problems import Problems, close_to
from growplan.families.text import Text
from growplan.families.window import Key

KINDS: tuple[ModuleKind, ...] = get_args(ModuleKind)
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_0-9]\w*)*\Z")
_KEY = re.compile(r"[A-Za-z_][\w.]*\Z")
_EPSILON = re.compile(r"(0?\.[0-9]+|[0-9]+e-[0-9]{1,3})\Z")
_LENGTH = re.compile(r"len\(\s*([A-Za-z_][\w.]*)\s*\)\Z")


class Lines:
    """Reads module and size lines against the axes and layer prefixes of one file."""

    def __init__(
        self,
        axes: Collection[str],
        layers: Mapping[str, str],
        problems: Problems,
        experts: Mapping[str, str] | None = None,
    ) -> None:
        self.axes = axes
        self.layers = layers
        self.experts = experts or {}
        self.problems = problems

    # modules --------------------------------------------------------------------------------

    def module(self, name: Text, line: Text) -> Module | None:
        """`h.ln_1: layernorm hidden, eps layer_norm_epsilon`."""
        if not _NAME.match(name.value):
            self.problems.add("GP343", f"`{name.value[:60]}` is not a module name", name.span, help=_NAMED)
            return None
        parts = line.value.split(",")
        kind, _, axes = parts[0].strip().partition(" ")
        if kind not in KINDS:
            help = (*close_to(kind, KINDS), f"kinds: {', '.join(KINDS)}")
            self.problems.add("GP343", f"`{kind[:60]}` is not a kind of module", line.span, help=help)
            return None
        shape = self._shape(kind, axes, line)
        if shape is None:
            return None
        flags = self._flags(kind, parts[1:], line)
        if flags is None:
            return None
        disk, in_layer, in_expert = self._disk(flags.get("named", name.value))
        if in_expert and kind != "linear":
            message = f"a module of each expert is a linear, not a {kind}"
            self.problems.add("GP343", message, line.span, help="name it outside the `experts`")
            return None
        ins, outs = shape
        fixed = bool(_EPSILON.match(flags.get("eps", "")))
        return Module(
            name.value,
            kind,
            ins,
            outs,
            bias=kind == "layernorm" or "bias" in flags,
            stored="in-out" if flags.get("stored") == "in-out" else "out-in",
            eps=None if fixed else flags.get("eps"),
            fixed_eps=float(flags["eps"]) if fixed else None,
            in_layer=in_layer,
            in_expert=in_expert,
            disk=disk,
            bias_when=flags.get("bias") or None,
            when=_condition(flags.get("when")),
            weight_leaf=kind != "parameter",
            ones=flags.get("stored", "").count("1"),
        )

    def _shape(self, kind: str, axes: str, line: Text) -> tuple[AxisExpr | None, AxisExpr] | None:
        left, arrow, right = axes.replace("→", "->").partition("->")
        reads = bool(arrow) if kind == "parameter" else kind in ("linear", "embedding", "patches")
        if bool(arrow) != reads:
            example = f"{kind} hidden -> ffn" if reads else f"{kind} hidden"
            axes_help = f"axes here: {', '.join(self.axes)}"
            self.problems.add("GP343", f"a {kind} is written `{example}`", line.span, help=axes_help)
            return None
        outs = self.axis(right if reads else left, line)
        ins = self.axis(left, line) if reads else None
        if outs is None or (reads and ins is None):
            return None
        if kind == "patches" and ins is not None and len(ins.terms) != 1:
            example = "write for example `patches channels*patch*patch -> hidden`"
            message = "the pixels of a patch are one product of axes"
            self.problems.add("GP343", message, line.span, help=example)
            return None
        return ins, outs

    def axis(self, text: str, line: Text) -> AxisExpr | None:
        """An axis expression over known axes."""
        try:
            axis = parse_axes(text.strip())
        except ExpressionError as error:
            message = f"`{text.strip()[:60]}` is not an axis expression: {error}"
            self.problems.add("GP343", message, line.span, help="write for example `heads*head_dim`")
            return None
        for name in sorted(axis.axes - set(self.axes)):
            help = (*close_to(name, self.axes), f"axes here: {', '.join(self.axes)}")
            self.problems.add("GP344", f"there is no axis `{name}`", line.span, help=help)
        return axis if axis.axes <= set(self.axes) else None

    def _flags(self, kind: str, parts: list[str], line: Text) -> dict[str, str] | None:
        allowed = {
            "linear": {"bias", "stored", "when", "named"},
            "embedding": {"when"},
            "layernorm": {"eps", "when"},
            "rmsnorm": {"eps", "when"},
            "bias": {"when"},
            "patches": {"bias"},
            "parameter": {"stored"},
        }[kind]
        flags: dict[str, str] = {}
        for part in parts:
            word, _, value = part.strip().partition(" ")
            value = value.strip()
            if word not in allowed or word in flags or not _flag_value_ok(kind, word, value):
                wanted = ", ".join(_flag(kind, flag) for flag in sorted(allowed))
                self.problems.add(
                    "GP343",
                    f"a {kind} does not take `{part.strip()[:60]}`",
                    line.span,
                    help=f"flags: {wanted}",
                )
                return None
            flags[word] = value
        if "eps" in allowed and "eps" not in flags:
            self.problems.add(
                "GP343", f"a {kind} names the config key of its epsilon", line.span, help="`, eps KEY`"
            )
            return None
        if "when" in flags and kind in ("linear", "embedding"):
            message = f"only a module that can be the identity has `when`, not a {kind}"
            self.problems.add("GP343", message, line.span, help="take `when` away, or use a norm or a bias")
            return None
        return flags

    def _disk(self, name: str) -> tuple[str, bool, bool]:
        """(name on disk, inside the layers, one for each expert)."""
        for words, in_expert in ((self.experts, True), (self.layers, False)):
            for word, disk in words.items():
                if name.startswith(word + "."):
                    return disk + name[len(word) :], True, in_expert
        return name, False, False

    # sizes ----------------------------------------------------------------------------------

    def size(self, axis: Text, line: Text) -> SizeRule | None:
        """`n_inner ?? 4*hidden`, `= hidden // heads`, `len(id2label) ?? num_labels ?? 2`.

        `KEY ?? default, sparing`: the key is written only where the default is another size.
        """
        value, _, flag = (part.strip() for part in line.value.partition(","))
        if flag not in ("", "sparing"):
            help = "`sparing`, or nothing"
            self.problems.add("GP343", f"a size does not take `{flag[:60]}`", line.span, help=help)
            return None
        if value.startswith("="):
            default = self.formula(value[1:], line)
            return None if default is None else SizeRule(axis.value, None, default)
        first, *rest = (part.strip() for part in value.split("??"))
        length = _LENGTH.match(first)
        key = length[1] if length else first
        also = tuple(rest[:-1])
        if not all(_KEY.match(word) for word in (key, *also)):
            message = "a size is `KEY`, `KEY ?? default`, `len(KEY) ?? KEY ?? default` or `= formula`"
            self.problems.add("GP343", message, line.span, help="write for example `n_inner ?? 4*hidden`")
            return None
        default = self.formula(rest[-1], line) if rest else None
        return SizeRule(axis.value, key, default, also, bool(length), bool(flag))

    def key(self, line: Text) -> Key | None:
        """`KEY` or `KEY ?? integer`."""
        key, sign, default = (part.strip() for part in line.value.partition("??"))
        if not _KEY.match(key) or (sign and not default.isdecimal()):
            help = "write for example `sliding_window ?? 4096`"
            self.problems.add("GP343", f"`{line.value[:60]}` is not a config key", line.span, help=help)
            return None
        return Key(key, int(default[:18]) if sign else None)

    def formula(self, text: str, line: Text) -> str | None:
        """A size expression over known axes, as text."""
        text = text.strip()
        try:
            names = size_names(text)
        except ExpressionError as error:
            example = "write for example `4*hidden` or `hidden // heads`"
            self.problems.add("GP343", f"`{text[:60]}` is not a size: {error}", line.span, help=example)
            return None
        unknown = sorted(names - set(self.axes))
        if unknown:
            help = (*close_to(unknown[0], self.axes), f"axes here: {', '.join(self.axes)}")
            self.problems.add("GP344", f"there is no axis `{unknown[0]}`", line.span, help=help)
            return None
        return text


_NAMED = "name it as it stands on disk, with the word of `layers` for `h.0.`: `h.attn.c_proj`"
_FLAGS = {
    "bias": "`bias` or `bias KEY`",
    "stored": "`stored in-out`",
    "when": "`when KEY` or `when not KEY`",
    "eps": "`eps KEY`, or `eps 1e-5` where no key holds it",
    "named": "`named NAME` (where two classes store different modules under one name)",
}


def _flag(kind: str, word: str) -> str:
    return "`stored 1x1`" if (kind, word) == ("parameter", "stored") else _FLAGS[word]


def _flag_value_ok(kind: str, word: str, value: str) -> bool:
    match word:
        case "stored" if kind == "parameter":
            return value in ("1", "1x1")  # dims of one before the axes
        case "stored":
            return value in ("in-out", "out-in")
        case "bias":
            return not value or bool(_KEY.match(value))
        case "when":
            return bool(_KEY.match(value.removeprefix("not ").strip()))
    return bool(_KEY.match(value)) or (word == "eps" and bool(_EPSILON.match(value)))


def _condition(text: str | None) -> tuple[str, bool] | None:
    if text is None:
        return None
    wanted = not text.startswith("not ")
    return text.removeprefix("not ").strip(), wanted
