"""Family files: text -> `Family`. The notation is described in docs and in `data/gpt2.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from growplan.diagnostics import Source, Span, fail
from growplan.families.axes import check_axes
from growplan.families.lines import Lines
from growplan.families.model import Assign, Family, HeadClass, Module, SizeRule
from growplan.families.ops import ACTIVATIONS
from growplan.families.problems import Problems, close_to
from growplan.families.statements import Reader, used_modules
from growplan.families.text import Text, Tree, read_source

DATA = Path(__file__).parent / "data"
REQUIRED = ("family", "config", "sizes", "layers", "modules", "embed", "block", "heads", "classes")
OPTIONAL = (
    "defaults",
    "carried",
    "act",
    "aliases",
    "equations",
    "constraints",
    "keeps",
    "closes",
    "outside",
    "copies",
    "buffers",
)
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


@cache
def builtin_families() -> Mapping[str, Path]:
    """Name -> data file of every family that ships, by a scan of `growplan/families/data`."""
    return {path.stem: path for path in sorted(DATA.glob("*.yaml"))}


def load_family(family: str | Path) -> Family:
    """A family by its name, or from a file of the user's own (anything with a `/` or a suffix).

    Raises GP340 (no such family or file), GP341 (not YAML), GP342-GP345 (mistakes in it, all of them).
    """
    builtin = builtin_families()
    if isinstance(family, str) and family in builtin:
        return _builtin(family)
    path = Path(family)
    if not path.suffix and len(path.parts) == 1 and not path.exists():
        names = ", ".join(builtin)
        help = (*close_to(str(family), builtin), f"families: {names}; or give the path of a family file")
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
    assert family is not None
    return family


class _File:
    """One file being read. Sections are read in the order in which they need each other."""

    def __init__(self, source: Source, problems: Problems) -> None:
        self.problems = problems
        self.tree = Tree(source, problems)
        self.source = source
        self.sections: Mapping[str, tuple[Text, Any]] = {}
        self._read: dict[str, dict[str, tuple[Text, Any]]] = {}

    def family(self) -> Family | None:
        self.sections = self.tree.mapping(self.tree.compose(), "the family file")
        self._check_keys()
        self.problems.stop()
        axes = list(self._mapping("sizes"))
        layers = self._layers()
        lines = Lines(axes, layers, self.problems)
        sizes = self._sizes(lines)
        modules = self._modules(lines)
        self.problems.stop()
        requires, act = self._requires(), self._word("act")
        self._check_act(act, requires)
        reader = Reader(modules, self.problems, act is not None)
        embed, block, heads = self._graph(reader)
        classes = self._classes(heads)
        closes = self._closes(lines)
        self.problems.stop()
        family = Family(
            name=self._word("family") or "",
            path=self.source.name,
            requires=requires,
            sizes=sizes,
            equations=self._pairs("equations", "==", lines),
            constraints=self._pairs("constraints", "%", lines),
            keeps=self._pairs("keeps", "==", lines),
            closes=closes,
            modules=tuple(modules.values()),
            embed=_statements(embed),
            block=_statements(block),
            heads={name: _statements(head) for name, head in heads.items()},
            classes=classes,
            layers=next(iter(layers.values()), "") + ".",
            outside=self._words("outside"),
            carried=self._words("carried"),
            buffers=self._buffers(),
            aliases=self._aliases(sizes),
            defaults=self._scalars("defaults"),
            act=act,
            copies={key: str(value) for key, value in self._scalars("copies").items()},
        )
        self._check_use(family)
        self.problems.stop()
        check_axes(family, embed, block, heads, self.problems)
        return family

    # sections -------------------------------------------------------------------------------

    def _check_keys(self) -> None:
        known = (*REQUIRED, *OPTIONAL)
        for key, (text, _) in self.sections.items():
            if key not in known:
                help = (*close_to(key, known), f"keys: {', '.join(known)}")
                self.problems.add("GP342", f"a family file has no key `{key}`", text.span, help=help)
        for key in REQUIRED:
            if key not in self.sections:
                self.problems.add("GP342", f"`{key}` is missing", Span(self.source, 0, 0))

    def _node(self, section: str) -> Any:
        entry = self.sections.get(section)
        return entry[1] if entry else None

    def _mapping(self, section: str) -> dict[str, tuple[Text, Any]]:
        node = self._node(section)
        if node is None:
            return {}
        if section not in self._read:
            self._read[section] = self.tree.mapping(node, f"`{section}`")
        return self._read[section]

    def _scalars(self, section: str) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, (_, node) in self._mapping(section).items():
            text = self.tree.text(node, f"`{section}.{key}`")
            if text is not None:
                out[key] = text.typed()
        return out

    def _lines(self, section: str) -> Iterator[tuple[Text, Text]]:
        for key, (name, node) in self._mapping(section).items():
            text = self.tree.text(node, f"`{section}.{key}`")
            if text is not None:
                yield name, text

    def _word(self, section: str) -> str | None:
        node = self._node(section)
        text = self.tree.text(node, f"`{section}`") if node is not None else None
        return text.value if text else None

    def _words(self, section: str) -> tuple[str, ...]:
        node = self._node(section)
        return tuple(t.value for t in self.tree.texts(node, f"`{section}`")) if node is not None else ()

    def _requires(self) -> dict[str, tuple[Any, ...]]:
        out: dict[str, tuple[Any, ...]] = {}
        for key, (_, node) in self._mapping("config").items():
            out[key] = tuple(t.typed() for t in self.tree.texts(node, f"`config.{key}`"))
        if not all(isinstance(name, str) for name in out.get("model_type", (None,))):
            span = self.sections["config"][0].span
            self.problems.add("GP342", "`config` names the model_type of the family", span)
        return out

    def _layers(self) -> dict[str, str]:
        out: dict[str, str] = {}
        for name, text in self._lines("layers"):
            if "{i}" not in text.value or text.value.endswith("."):
                self.problems.add("GP343", f"`{text.value}` has no place for the layer: `h.{{i}}`", text.span)
            out[name.value] = text.value
        if len(out) > 1:
            self.problems.add("GP342", "one kind of layers only", self.sections["layers"][0].span)
        return out

    def _sizes(self, lines: Lines) -> tuple[SizeRule, ...]:
        rules = []
        for axis, text in self._lines("sizes"):
            if not axis.value.isidentifier():
                self.problems.add("GP343", f"`{axis.value}` is not an axis name", axis.span)
                continue
            rule = lines.size(axis, text)
            if rule is not None:
                rules.append(rule)
        for needed in ("hidden", "depth"):
            if needed not in lines.axes:
                self.problems.add("GP342", f"`sizes` has no axis `{needed}`", self.sections["sizes"][0].span)
        return tuple(rules)

    def _modules(self, lines: Lines) -> dict[str, Module]:
        found = (lines.module(name, text) for name, text in self._lines("modules"))
        return {module.name: module for module in found if module is not None}

    def _check_act(self, act: str | None, requires: Mapping[str, tuple[Any, ...]]) -> None:
        if act is None:
            return
        span = self.sections["act"][0].span
        if act not in requires:
            self.problems.add("GP342", f"`config` does not say which values `{act}` may have", span)
        for value in requires.get(act, ()):
            if value not in ACTIVATIONS:
                help = f"known: {', '.join(ACTIVATIONS)}"
                self.problems.add("GP344", f"`{value}` is no known activation", span, help=help)

    def _graph(self, reader: Reader) -> tuple[Located, Located, dict[str, Located]]:
        parts: list[Located] = []
        for section in ("embed", "block"):
            text = self.tree.text(self._node(section), f"`{section}`")
            parts.append(reader.read(text) if text else [])
        heads = {name.value: reader.read(text) for name, text in self._lines("heads")}
        return parts[0], parts[1], heads

    def _classes(self, heads: Mapping[str, Any]) -> tuple[HeadClass, ...]:
        out: list[HeadClass] = []
        for name, (word, node) in self._mapping("classes").items():
            fields = self.tree.mapping(node, f"`classes.{name}`")
            if set(fields) != {"prefix", "head"}:
                self.problems.add("GP342", f"`{name}` needs `prefix` and `head`, nothing else", word.span)
                continue
            prefix = self.tree.text(fields["prefix"][1], "a prefix")
            for head in self.tree.texts(fields["head"][1], "a head"):
                for part in head.value.split(" + "):
                    if part not in heads:
                        self.problems.add(
                            "GP344", f"there is no head `{part}`", head.span, help=close_to(part, heads)
                        )
                if prefix is not None:
                    out.append(HeadClass(name, prefix.value, head.value))
        return tuple(out)

    def _pairs(self, section: str, sign: str, lines: Lines) -> tuple[tuple[str, str], ...]:
        out: list[tuple[str, str]] = []
        node = self._node(section)
        for text in self.tree.texts(node, f"`{section}`") if node is not None else ():
            left, found, right = text.value.partition(sign)
            if not found:
                self.problems.add("GP343", f"`{section}` is made of `left {sign} right`", text.span)
                continue
            a, b = lines.formula(left, text), lines.formula(right, text)
            if a is not None and b is not None:
                out.append((a, b))
        return tuple(out)

    def _closes(self, lines: Lines) -> tuple[tuple[str, str], ...]:
        out: list[tuple[str, str]] = []
        for axis, text in self._lines("closes"):
            if axis.value not in lines.axes:
                self.problems.add("GP344", f"there is no axis `{axis.value}`", axis.span)
            formula = lines.formula(text.value, text)
            if formula is not None:
                out.append((axis.value, formula))
        return tuple(out)

    def _buffers(self) -> tuple[str, ...]:
        node = self._node("buffers")
        texts = self.tree.texts(node, "`buffers`") if node is not None else []
        for text in texts:
            try:
                re.compile(text.value)
            except (re.error, OverflowError, RecursionError) as error:
                self.problems.add("GP343", f"not a regular expression: {error}", text.span)
        return tuple(text.value for text in texts)

    def _aliases(self, sizes: tuple[SizeRule, ...]) -> dict[str, str]:
        axes = {rule.axis for rule in sizes}
        out = {word: axis for word, axis in WORDS.items() if axis in axes}
        out |= {rule.key: rule.axis for rule in sizes if rule.key and not rule.length}
        for name, axis in self._lines("aliases"):
            if axis.value not in axes:
                self.problems.add("GP344", f"there is no axis `{axis.value}`", axis.span)
            out[name.value] = axis.value
        return {word: axis for word, axis in out.items() if word not in axes}

    def _check_use(self, family: Family) -> None:
        """Every module is used, layer modules in the block only."""
        modules = {m.name: m for m in family.modules}
        in_block = used_modules(family.block, modules)
        elsewhere = used_modules(family.embed, modules)
        for head in family.heads.values():
            elsewhere |= used_modules(head, modules)
        for name, (word, _) in self._mapping("modules").items():
            module = modules[name]
            if name not in in_block and name not in elsewhere:
                self.problems.add("GP344", f"no statement uses `{name}`", word.span)
            elif module.in_layer != (name in in_block) or (name in in_block and name in elsewhere):
                wanted = "the block" if module.in_layer else "embed or heads"
                self.problems.add("GP344", f"`{name}` belongs in {wanted}", word.span)


Located = list[tuple[Assign, Span]]


def _statements(located: Located) -> tuple[Assign, ...]:
    return tuple(statement for statement, _ in located)
