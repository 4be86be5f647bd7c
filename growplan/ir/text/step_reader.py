"""Reading one step of a text: fields, statements, and what they leave to each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from lark import Token

from growplan.algebra import Expansion, Root
from growplan.diagnostics import Span, fail
from growplan.ir.graph import (
    Above,
    BlockLaw,
    Graph,
    LawKind,
    LearnedLaw,
    ModuleLaw,
    Provenance,
    SetConfig,
    Step,
    TensorLaw,
    TensorType,
)
from growplan.ir.layers import layers_between
from growplan.ir.primitives import CopyLayer
from growplan.ir.rings import RingGroup, RingLaw, ring_inputs
from growplan.ir.text.implied import FORM, implied_id, implied_inputs
from growplan.ir.text.readers import Place, primitive, read_group, read_learned, read_ring, resample
from growplan.ir.text.terms import Parsed, Terms, first, tokens, trees, turns
from growplan.ir.text.values import Pending, Values


@dataclass(frozen=True)
class _LawDraft:
    """A law as written; `same` (None) takes its size from the tensor."""

    tensor: str
    source: str
    rows: Expansion | None
    row_dim: int
    cols: Expansion | None
    col_dim: int | None
    reads: bool  # whether there are columns at all
    span: Span
    blocks: bool = False
    above: Above | None = None
    constant: Root | None = None
    given: bool = False
    twins: Expansion | None = None


class StepReader:
    """Reads one step: fields, then statements, then what they left open."""

    def __init__(self, graph: Graph, terms: Terms, tree: Parsed) -> None:
        self.graph, self.tree = graph, tree
        self.k = len(graph.models)
        self.before = graph.models[-1]
        self.model = dict(self.before)
        self.maps: dict[str, Expansion] = {}
        self.terms = Terms(terms.source, None, self.maps)
        self.fields: dict[str, Any] = {"text": "", "claim": "none", "origin": ""}
        self.config: list[SetConfig] = []
        self.keys = ""
        self.values = Values(graph, self.k)
        self.laws: list[_LawDraft] = []
        self.modules: list[ModuleLaw] = []
        self.provenance: list[Provenance] = []
        self.learned: list[LearnedLaw] = []
        self.rings: list[RingLaw] = []
        self.groups: list[RingGroup] = []
        self.dropped: list[str] = []

    def read(self) -> None:
        for comment in tokens(self.tree, "ORIGIN"):
            self.fields["origin"] = comment[2:].strip()
        reads = {"tensor": self._tensor, "let": self._let, "drop": self._drop, "measure": self._measure}
        for child, terms in turns(self.tree, self.terms, "loop"):
            if child.data in reads:
                reads[child.data](child, terms)
            elif child.data != "name":
                self._field(child)
        self.values.settle()
        for tensor in self.dropped:
            self.model.pop(tensor, None)
        laws = tuple(self._law(draft) for draft in self.laws)
        step = Step(
            index=self.terms.ints(self.tree)[0],
            id=self.terms.names(self.tree)[0],
            config=tuple(self.config),
            laws=laws,
            modules=tuple(self.modules),
            provenance=tuple(self.provenance),
            learned=tuple(self.learned),
            rings=tuple(self.rings),
            groups=tuple(self.groups),
            **self.fields,
        )
        self.graph.steps.append(step)
        self.graph.models.append(self.model)

    # fields ----------------------------------------------------------------------------------------

    def _field(self, tree: Parsed) -> None:
        terms, texts = self.terms, tokens(tree, "STRING")
        match tree.data:
            case "plan":
                self.fields["text"] = terms.string(texts[0])
            case "claim":
                self.fields["claim"] = terms.names(tree)[0]
            case "origin":
                self.fields["origin"] = terms.string(texts[0])
            case "keys":
                self.keys = terms.string(texts[0])
            case "set_config":
                self.config.append(SetConfig(terms.names(tree)[0], _json(trees(tree, "json")[0], terms)))
            case "sizes":
                pairs = [(terms.names(size)[0], terms.ints(size)[0]) for size in trees(tree, "size")]
                if tokens(tree, "REST"):
                    before = self.graph.steps[-1].sizes if self.graph.steps else ()
                    pairs = sorted({**dict(before), **dict(pairs)}.items())
                self.fields["sizes"] = tuple(pairs)
            case "layer_sources":
                self.fields["layers"] = tuple(self._layers(tree))
            case "stream":
                self.fields["stream"] = self.maps["stream"] = terms.whole_map(terms.maps_in(tree)[0])
            case "group":
                self.groups.append(read_group(tree, terms))
            case "define_map":
                name = tokens(tree, "NAME")[0]
                if name in self.maps:
                    terms.refuse("GP252", f"the map `{name}` is defined twice", name)
                self.maps[str(name)] = terms.whole_map(terms.maps_in(tree)[0])

    def _layers(self, tree: Parsed) -> Iterator[tuple[int, bool]]:
        for run in trees(tree, "layers"):
            begin, *rest = self.terms.ints(run)
            for layer in range(begin, rest[0] if rest else begin + 1):
                yield layer, bool(tokens(run, "SILENT"))

    # statements ------------------------------------------------------------------------------------

    def _tensor(self, tree: Parsed, terms: Terms) -> None:
        if first(tree, "unchanged") is not None:
            self._unchanged(tree, terms)
            return
        tensor, *sources = terms.names(tree)
        given = terms.ids(tree)
        home = sources[0] if sources else None if given else tensor
        ops = trees(tree, "op")
        moved = bool(sources or given or ops)
        value = given[0] if given else self._tensor_before(home or tensor, tree, terms) if moved else ""
        law = first(tree, "law", "blocks")
        draft = self._draft(law, tensor, home, terms) if law is not None else None
        if draft is not None:
            self.laws.append(draft)
        type_ = first(tree, "type")
        last_type = terms.type(type_) if type_ is not None else None
        keys = f"{self.keys}/{tensor}/" if self.keys else ""
        names = None if home is None else (home, tensor)
        place = Place(terms, _law_maps(draft), keys, tensor, layers_between(home, tensor), names)
        base = value
        clause = first(tree, "learned")
        learned = None if clause is None else read_learned(clause, tensor, home, terms)
        self.learned += [learned] if learned is not None else []
        ring = first(tree, "ring")
        if ring is not None:
            self.rings.append(read_ring(ring, tensor, terms))
        reads = self._ring_inputs(None if ring is None else self.rings[-1])
        for j, op in enumerate(ops, 1):
            given_type = last_type if j == len(ops) else None
            value = self._op(
                op, implied_id(tensor, self.k, j), value, base, place, given_type, learned, reads
            )
        if moved:
            self.model[tensor] = value
        for same in trees(tree, "bitwise"):
            named = terms.names(same)
            self.provenance.append(Provenance(tensor, self._home(named, home, same, terms)))
        for grid in trees(tree, "resampled"):
            source = self._home(terms.names(grid), home, grid, terms)
            self.provenance.append(Provenance(tensor, source, resample(grid, place)))

    def _ring_inputs(self, law: RingLaw | None) -> tuple[str, ...]:
        """The values that the first `ring_map` of a tensor reads."""
        group = next((g for g in self.groups if law is not None and g.name == law.parts[0][0]), None)
        return () if group is None else ring_inputs(group, self.k)

    def _unchanged(self, tree: Parsed, terms: Terms) -> None:
        """`T = S unchanged`: law same, bitwise, and a `copy_layer` where S is another layer's."""
        tensor, *sources = terms.names(tree)
        source = sources[0] if sources else tensor
        if sources:
            layers = layers_between(source, tensor)
            if layers is None:
                terms.refuse("GP251", "the names here have no layers", tree)
            id, value = implied_id(tensor, self.k, 1), self._tensor_before(source, tree, terms)
            self.values.define(id, Pending(CopyLayer(*layers), (value,), None, terms.span(tree)))
            self.model[tensor] = id
        self.provenance.append(Provenance(tensor, source))
        arrow = tokens(trees(tree, "unchanged")[0], "ARROW")
        row_dim = 1 if arrow == ["->"] else 0
        col_dim = 1 - row_dim if arrow else None
        span = terms.span(tree)
        self.laws.append(_LawDraft(tensor, source, None, row_dim, None, col_dim, bool(arrow), span))

    def _tensor_before(self, tensor: str, tree: Parsed, terms: Terms) -> str:
        if tensor not in self.before:
            terms.refuse("GP251", f"the model before step {self.k} has no tensor `{tensor}`", tree)
        return self.before[tensor]

    def _home(self, named: list[str], home: str | None, tree: Parsed, terms: Terms) -> str:
        """The tensor that a claim is about: named, or the one the statement starts from."""
        if named:
            return named[0]
        if home is None:
            terms.refuse("GP251", "a claim on a value must say `of` which tensor", tree)
        return home

    def _op(
        self,
        tree: Parsed,
        id: str,
        value: str,
        base: str,
        place: Place,
        last_type: TensorType | None,
        learned: LearnedLaw | None,
        ring: tuple[str, ...],
    ) -> str:
        terms = place.terms
        op = primitive(tree, place)
        renamed, extra, typed = first(tree, "as_value"), first(tree, "with_values"), first(tree, "type")
        id = terms.ids(renamed)[0] if renamed is not None else id
        implied = implied_inputs(op, base, learned, self.before, ring)
        more = tuple(terms.ids(extra)) if extra is not None else implied
        type_ = terms.type(typed) if typed is not None else last_type
        self.values.define(id, Pending(op, (value, *more), type_, terms.span(tree)))
        return id

    def _let(self, tree: Parsed, terms: Terms) -> None:
        id, *inputs = terms.ids(tree)
        typed = first(tree, "type")
        type_ = terms.type(typed) if typed is not None else None
        op = primitive(tree, Place(terms))
        self.values.define(id, Pending(op, tuple(inputs), type_, terms.span(tree)))

    def _drop(self, tree: Parsed, terms: Terms) -> None:
        self.dropped += terms.names(tree)

    def _measure(self, tree: Parsed, terms: Terms) -> None:
        module, kind = terms.names(tree)
        maps = [terms.whole_map(each) for each in terms.maps_in(tree)]
        at, origin = first(tree, "at_layer"), first(tree, "from_layer")
        layer = terms.layer(trees(at, "layer")[0]) if at is not None else None
        source = terms.layer(trees(origin, "layer")[0]) if origin is not None else layer
        e_in = maps[0] if len(maps) == 2 else None
        exact = not tokens(tree, "APPROXIMATE")
        law = ModuleLaw(module, cast(LawKind, kind), layer, source, e_in, maps[-1], exact)
        self.modules.append(law)

    # laws ------------------------------------------------------------------------------------------

    def _draft(self, tree: Parsed, tensor: str, home: str | None, terms: Terms) -> _LawDraft:
        draft = self._plain_draft(tree, tensor, home, terms)
        if tree.data == "law":
            constant, twins = first(tree, "constant"), first(tree, "twins")
            if constant is not None:
                draft = replace(draft, constant=terms.constant(constant))
            draft = replace(draft, given=bool(tokens(tree, "GIVEN")))
            return draft if twins is None else replace(draft, twins=terms.whole_map(terms.maps_in(twins)[0]))
        graft = first(tree, "grafted")
        if graft is None:
            return replace(draft, blocks=True)
        place = Place(terms)
        above = Above(terms.names(graft)[0], place.dim(graft), place.at(graft))
        return replace(draft, blocks=True, above=above)

    def _plain_draft(self, tree: Parsed, tensor: str, home: str | None, terms: Terms) -> _LawDraft:
        source = self._home(terms.names(tree), home, tree, terms)
        (form,) = trees(tree, "vector", "reads", "feeds", "general")
        maps = [terms.map(each) for each in terms.maps_in(form)]
        span = terms.span(tree)
        if form.data == "vector":
            return _LawDraft(tensor, source, maps[0], 0, None, None, False, span)
        if form.data == "general":
            row_dim, *col_dim = terms.ints(form)
            cols = maps[1] if len(maps) > 1 else None
            dim = col_dim[0] if col_dim else None
            return _LawDraft(tensor, source, maps[0], row_dim, cols, dim, len(maps) > 1, span)
        row_dim = 0 if form.data == "reads" else 1
        rows, cols = (maps[0], maps[1]) if row_dim == 0 else (maps[1], maps[0])
        return _LawDraft(tensor, source, rows, row_dim, cols, 1 - row_dim, True, span)

    def _law(self, draft: _LawDraft) -> TensorLaw:
        def sized(e: Expansion | None, dim: int | None) -> Expansion:
            if e is not None:
                return e
            node = self.graph.nodes.get(self.model.get(draft.tensor, ""))
            if node is None or dim is None or dim >= len(node.type.shape):
                message = f"`same` has no size: `{draft.tensor}` has no such dimension"
                fail("GP251", message, draft.span, help=FORM)
            return Expansion.identity(node.type.shape[dim])

        rows = sized(draft.rows, draft.row_dim)
        cols = sized(draft.cols, draft.col_dim) if draft.reads else None
        dims = (draft.row_dim, draft.col_dim)
        law = TensorLaw(
            draft.tensor, draft.source, rows, cols, *dims, draft.constant, draft.given, draft.twins
        )
        return BlockLaw(**vars(law), above=draft.above) if draft.blocks else law


def _law_maps(draft: _LawDraft | None) -> dict[int, Expansion]:
    """Dimension -> the map that `by law` means there."""
    if draft is None:
        return {}
    sides = [(draft.row_dim, draft.rows), (draft.col_dim, draft.cols)]
    return {dim: e for dim, e in sides if dim is not None and e is not None and not e.is_identity}


def _json(tree: Parsed, terms: Terms) -> Any:
    child = tree.children[0]
    if isinstance(child, Token):
        return json.loads(child)
    if child.data == "list":
        return [_json(each, terms) for each in trees(child, "json")]
    pairs = trees(child, "pair")
    return {terms.string(tokens(p, "STRING")[0]): _json(trees(p, "json")[0], terms) for p in pairs}
