"""Family files: text -> `Family`.

A family file is YAML; `data/gpt2.yaml` shows every section. Small languages inside it:

    size        KEY  |  KEY ?? default  |  len(KEY) ?? KEY ?? default  |  = formula
                `, sparing` after it: the key is written only where the default is another size
    module      KIND AXES -> AXES, flag, ...      linear, embedding: they read one axis, write one
                                                  patches: a linear over the pixels of a patch, stored as
                                                  a convolution, one dim for each factor that it reads
                KIND AXES, flag, ...              layernorm, rmsnorm, bias (adds one stored vector)
                parameter AXES | AXES -> AXES     a tensor under its own name: a token, a table of rows
    upcycles    dense families whose ffn becomes the experts; `dense`: module here: module there
    experts     {NAME: DISK}: modules whose name begins so are linear, and each expert has its own
    flags       bias | bias KEY (where the config says so) | stored in-out
                eps KEY | eps 1e-5 (where no key holds it)
                when KEY | when not KEY (else the module passes its input on)
                named NAME (on disk, where two classes store different modules under one name)
                stored 1x1 (of a parameter: dims of one before its axes)
    statement   name = expression | a, b, c = fused(x) | a, b = f(x), g(x)
    expression  names, calls of modules and operations (`ops.OPS`), + (residual), * (gate)

`extends: NAME` inherits every section of a family that ships; `growplan.families.sections` says how.
`act` is the operation that the config key of the section `act` names. `NAME, untied` under `heads`
replaces NAME where tie_word_embeddings is false. A name that begins with `_` is no output. `embed`
starts from `ids`, `positions`, `types`, or under `input: image` from `pixels` and `positions`.
`layer_lists` names config keys whose value, where it is a list, has one entry for each layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from growplan.checkpoint.files import path_exists
from growplan.diagnostics import Source, fail
from growplan.families.axes import Located, check_axes, check_use
from growplan.families.classes import read_classes, read_window
from growplan.families.lines import Lines
from growplan.families.mixture import read_dense, read_experts
from growplan.families.model import Assign, Family, Input, Module, SizeRule
from growplan.families.ops import ACTIVATIONS
from growplan.families.positions import calls
from growplan.families.problems import Problems, close_to
from growplan.families.sections import Sections
from growplan.families.statements import Reader
from growplan.families.text import builtin_families, read_source

UNTIED = ", untied"

# words for axes that every plan may use, where the family has the axis (transformers' own keys)
WORDS: Mapping[str, str] = {
    "hidden_size": "hidden",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "num_hidden_layers": "depth",
    "layers": "depth",
    "intermediate_size": "ffn",
    "vocab_size": "vocab",
    "max_position_embeddings": "positions",
}


def load_family(family: str | Path) -> Family:
    """A family by its name, or from a file of the user's own (anything with a `/` or a suffix).

    Raises GP340 (no such family or file), GP341 (not YAML), GP342-GP345 (mistakes in it, all of them).
    """
    builtin = builtin_families()
    if isinstance(family, str) and family in builtin:
        return _builtin(family)
    path = Path(family)
    if not path.suffix and len(path.parts) == 1 and not path_exists(path):
        help = (*close_to(str(family), builtin), f"families: {', '.join(builtin)}; or give a family file")
        fail("GP340", f"there is no family `{family}`", help=help)
    return parse_family(read_source(path))


@cache
def _builtin(name: str) -> Family:
    return parse_family(read_source(builtin_families()[name]))


def parse_family(source: Source) -> Family:
    """The text of a family file as a `Family`; every mistake is reported in one `DiagnosticError`."""
    problems = Problems()
    family = _File(source, problems).family()
    problems.stop()
    return family


class _File:
    """One file being read. Sections are read in the order in which they need each other."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self.problems = problems
        self.source = source
        self.sections = Sections(source, problems)

    def family(self) -> Family:
        sections = self.sections
        sections.open()
        self.problems.stop()
        layers = self._layers()
        lines = Lines(list(sections.mapping("sizes")), layers, self.problems, read_experts(sections))
        sizes, modules = self._sizes(lines), self._modules(lines)
        self.problems.stop()
        requires, act = self._requires(), self._act()
        embed, block, heads = self._graph(Reader(modules, self.problems, act is not None))
        self.problems.stop()
        family = Family(
            name=self._name(),
            path=self.source.name,
            requires=requires,
            sizes=sizes,
            equations=self._pairs("equations", "==", lines),
            constraints=self._pairs("constraints", "%", lines),
            keeps=self._pairs("keeps", "==", lines),
            closes=self._closes(lines),
            modules=tuple(modules.values()),
            embed=_statements(embed),
            block=_statements(block),
            heads={name: _statements(head) for name, head in heads.items()},
            classes=read_classes(sections, heads),
            layers=next(iter(layers.values()), "") + ".",
            outside=sections.words("outside"),
            carried=sections.words("carried"),
            buffers=self._buffers(),
            layer_lists=sections.words("layer_lists"),
            aliases=self._aliases(sizes),
            defaults=sections.scalars("defaults"),
            act=act,
            copies={key: str(value) for key, value in sections.scalars("copies").items()},
            input=self._input(),
            window=read_window(sections, lines, calls(_statements(block), "attention")),
            upcycles=sections.words("upcycles"),
            dense=read_dense(sections, modules),
        )
        places = {name: text.span for name, (text, _) in sections.mapping("modules").items()}
        check_use(family, places, self.problems)
        self.problems.stop()
        check_axes(family, embed, block, heads, self.problems)
        return family

    # sections -------------------------------------------------------------------------------

    def _name(self) -> str:
        text = self.sections.text("family")
        return text.value if text else ""

    def _input(self) -> Input:
        text = self.sections.text("input")
        if text is not None and text.value not in get_args(Input):
            help = "`input: text` or `input: image`"
            self.sections.problem("GP342", f"a model reads no `{text.value[:60]}`", text, help)
        return "image" if text is not None and text.value == "image" else "text"

    def _requires(self) -> dict[str, tuple[Any, ...]]:
        out: dict[str, tuple[Any, ...]] = {}
        for key, (word, node) in self.sections.mapping("config").items():
            out[key] = tuple(text.typed() for text in self.sections.tree.texts(node, f"`config.{key}`"))
            if not out[key]:
                self.sections.problem("GP342", f"`{key}` has no value it may have", word, "list the values")
        if not all(isinstance(name, str) for name in out.get("model_type", (None,))):
            self.sections.problem(
                "GP342", "`config` names the model_type of the family", "config", "add `model_type`"
            )
        return out

    def _layers(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for name, text in self.sections.lines("layers"):
            if "{i}" not in text.value or text.value.endswith("."):
                message = f"`{text.value[:60]}` has no place for the layer"
                self.sections.problem("GP343", message, text, "write `{i}` where its number stands: `h.{i}`")
            out[name.value] = text.value
        if len(out) != 1 and not self.problems.found:
            self.sections.problem("GP342", "layers are of one kind", "layers", 'write one: `{h: "h.{i}"}`')
        return out

    def _sizes(self, lines: Lines) -> tuple[SizeRule, ...]:
        rules: list[SizeRule] = []
        for axis, text in self.sections.lines("sizes"):
            if not axis.value.isidentifier():
                message = f"`{axis.value[:60]}` is not an axis name"
                self.sections.problem("GP343", message, axis, "an axis is one word, such as `hidden`")
                continue
            rule = lines.size(axis, text)
            if rule is not None:
                rules.append(rule)
        for needed in ("hidden", "depth"):
            if needed not in lines.axes:
                help = f"add `{needed}: KEY`, with the config key that holds it"
                self.sections.problem("GP342", f"`sizes` has no axis `{needed}`", "sizes", help)
        return tuple(rules)

    def _modules(self, lines: Lines) -> dict[str, Module]:
        found = (lines.module(name, text) for name, text in self.sections.lines("modules"))
        return {module.name: module for module in found if module is not None}

    def _act(self) -> str | None:
        text = self.sections.text("act")
        if text is None:
            return None
        values = self.sections.mapping("config").get(text.value)
        if values is None:
            message = f"`config` does not say which values `{text.value[:60]}` may have"
            self.sections.problem("GP342", message, "act", f"add `{text.value[:60]}: [gelu]` to `config`")
            return text.value
        for word in self.sections.tree.texts(values[1], "an activation"):
            if word.value not in ACTIVATIONS:
                help = (*close_to(word.value, ACTIVATIONS), f"known: {', '.join(ACTIVATIONS)}")
                self.sections.problem("GP344", f"`{word.value[:60]}` is no known activation", word, help)
        return text.value

    def _graph(self, reader: Reader) -> tuple[Located, Located, dict[str, Located]]:
        embed, block = self.sections.text("embed"), self.sections.text("block")
        heads: dict[str, Located] = {}
        for name, text in self.sections.lines("heads"):
            heads[name.value] = reader.read(text)
            if all(a.targets[0].startswith("_") for a, _ in heads[name.value]) and not self.problems.found:
                message = f"the head `{name.value[:60]}` gives no value"
                self.sections.problem("GP342", message, name, "assign a name that does not begin with `_`")
        return reader.read(embed) if embed else [], reader.read(block) if block else [], heads

    def _pairs(self, section: str, sign: str, lines: Lines) -> tuple[tuple[str, str], ...]:
        out: list[tuple[str, str]] = []
        for text in self.sections.texts(section):
            left, found, right = text.value.partition(sign)
            if not found:
                example = f"write for example `hidden {sign} heads`"
                self.sections.problem("GP343", f"`{section}` is made of `left {sign} right`", text, example)
                continue
            a, b = lines.formula(left, text), lines.formula(right, text)
            if a is not None and b is not None:
                out.append((a, b))
        return tuple(out)

    def _closes(self, lines: Lines) -> tuple[tuple[str, str], ...]:
        out: list[tuple[str, str]] = []
        for axis, text in self.sections.lines("closes"):
            if axis.value not in lines.axes:
                self.sections.problem(
                    "GP344", f"there is no axis `{axis.value[:60]}`", axis, _axes_here(lines.axes)
                )
            formula = lines.formula(text.value, text)
            if formula is not None:
                out.append((axis.value, formula))
        return tuple(out)

    def _buffers(self) -> tuple[str, ...]:
        for text in self.sections.texts("buffers"):
            try:
                re.compile(text.value)
            except (re.error, OverflowError, RecursionError) as error:
                help = "correct it; a dot is written `\\\\.`"
                self.sections.problem("GP343", f"not a regular expression: {error}", text, help)
        return self.sections.words("buffers")

    def _aliases(self, sizes: tuple[SizeRule, ...]) -> dict[str, str]:
        axes = {rule.axis for rule in sizes}
        out = {word: axis for word, axis in WORDS.items() if axis in axes}
        out |= {rule.key: rule.axis for rule in sizes if rule.key and not rule.length}
        for name, axis in self.sections.lines("aliases"):
            if axis.value not in axes:
                self.sections.problem(
                    "GP344", f"there is no axis `{axis.value[:60]}`", axis, _axes_here(axes)
                )
            out[name.value] = axis.value
        return {word: axis for word, axis in out.items() if word not in axes}


def _statements(located: Located) -> tuple[Assign, ...]:
    return tuple(statement for statement, _ in located)


def _axes_here(axes: Iterable[str]) -> str:
    return f"axes here: {', '.join(sorted(axes))}"
