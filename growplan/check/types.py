"""Typing one model under one candidate: the op graph walked over expansions.

`type_model` runs embed, one block and the head of a family over types. A block must return
the stream type it was given, so one block stands for all layers. Refusals carry the module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from operator import add
from typing import Any

from growplan.algebra import ONE, Expansion, Root
from growplan.check import norms, rules
from growplan.check.acts import Act, Typing
from growplan.check.branches import BRANCH, branches, norms_into_stream
from growplan.check.rewrites import param_rewrite
from growplan.check.roles import ROLES, attention_roles
from growplan.check.rules import Refusal
from growplan.check.typed import ModuleTyping, Violation
from growplan.families.model import AxisExpr, Model, Module
from growplan.families.rope import LARGEST_THETA, grown_theta, read_rope
from growplan.families.walk import run
from growplan.methods.base import Candidate


def type_model(model: Model, candidate: Candidate) -> Typing:
    """Type `model` with the axes of `candidate` expanded. Raises Refusal where a rule does not hold."""
    ops = TypeOps(model, candidate)
    env: dict[str, Act] = {name: Act(None) for name in ("ids", "positions", "types", "pixels", "mask")}
    env = run(model.embed, env, model.modules, ops)
    stream = env["x"]
    env = run(model.block, env, model.modules, ops)
    if env["x"].map != stream.map:
        raise Refusal(
            "a block that returns the stream it was given",
            f"{rules.brief(stream.map)} became {rules.brief(env['x'].map)}",
        )
    run(model.head_stmts, env, model.modules, ops)
    ops.typing.stream = stream.e
    return ops.typing


class TypeOps:
    """`families.walk.Ops` over types."""

    def __init__(self, model: Model, candidate: Candidate) -> None:
        self.model = model
        self.candidate = candidate
        self.typing = Typing()
        self.roles = attention_roles(model)
        self.branches = branches(model) if BRANCH in candidate.maps else frozenset[str]()
        hidden = candidate.maps.get("hidden")
        scaled = hidden is not None and not hidden.scales <= {ONE}
        self.stream = hidden.map_kind("mean", "zero") if hidden is not None and scaled else None
        self.into_stream = norms_into_stream(model) if scaled else frozenset[str]()
        self._norm_inputs: dict[str, Expansion] = {}

    # modules ------------------------------------------------------------------------------

    def module(self, module: Module, x: Act) -> Act:
        try:
            if module.name in self.roles.norms:
                return self._head_norm(module, x)
            if module.is_norm:
                return self._norm(module, x.map, self.stream if module.name in self.into_stream else None)
            if module.kind == "bias":
                return self._bias(module, x)
            return self._linear(module, x)
        except Refusal as refusal:
            raise _placed(refusal, module.name) from None

    def _linear(self, module: Module, x: Act) -> Act:
        assert module.ins is not None
        e_in = x.e or self._input(module.ins)
        if e_in.old != module.ins.size(self.model.sizes):
            raise Refusal(f"an input of {module.ins}", f"one of {e_in.old} units", module.name)
        rules.linear(e_in, module.name)
        e_out = reduce(add, self._parts(module))
        self._rewrite(module, "weight", e_out, e_in)
        if module.bias:
            self._rewrite(module, "bias", e_out, None)
        self.typing.typings[module.name] = ModuleTyping(module, e_in, e_out)
        return Act(e_out, module.outs, module.name)

    def _bias(self, module: Module, x: Act) -> Act:
        """A bare bias added to an activation: it follows the activation's map."""
        self._rewrite(module, "bias", x.map, None)
        self.typing.typings[module.name] = ModuleTyping(module, x.map, x.map)
        return Act(x.map, module.outs)

    def _norm(self, module: Module, e_in: Expansion, target: Expansion | None) -> Act:
        result = self._norm_rule(module, e_in, target)
        self._norm_inputs[module.name] = e_in
        self._rewrite(module, "weight", result.gamma, None)
        if module.bias:
            self._rewrite(module, "bias", result.beta, None)
        self.typing.typings[module.name] = ModuleTyping(module, e_in, result.out, result.exact)
        self._scale_eps(module, result.eps_factor)
        return Act(result.out, module.outs, module.name)

    def _head_norm(self, module: Module, x: Act) -> Act:
        """A norm over each head by itself: the map of heads passes through."""
        assert x.axis is not None
        out = self._head_dim(self.roles.norms[module.name])
        fed = self._before_norm(module, out)
        units = self._expand(AxisExpr((x.axis.terms[0][:-1],)))
        if x.map != units * fed:
            raise Refusal(f"whole heads ({units.old}→{units.size})", rules.brief(x.map), module.name)
        self._norm(module, fed, out)
        return Act(units * out, x.axis, module.name, x.rotary)

    def _before_norm(self, norm: Module, out: Expansion) -> Expansion:
        """What a norm over a head must be fed to put out `out`: its units, all at one scale c.

        The norm multiplies epsilon by c^2 k dh/dh* (k copies of every unit), which must be what
        the stream's norms multiply the same key by.
        """
        factor, _ = self.typing.eps.get(norm.eps or "", (Fraction(1), ""))
        copies = out.uniform_count or 1
        return out.plain().scaled(Root(factor * Fraction(out.size, out.old * copies)))

    def _head_dim(self, role: str | None) -> Expansion:
        """The map of one head's queries, keys or values as attention reads them.

        A norm over the head admits no free units before it, so there are none behind it.
        """
        maps = self.candidate.maps
        plain = maps.get("head_dim") or Expansion.identity(self.model.sizes["head_dim"])
        own = maps.get(f"head_dim/{role}") or plain
        return own.map_kind("free", "zero") if role in self.roles.normed else own

    def _norm_rule(self, module: Module, e_in: Expansion, target: Expansion | None) -> norms.NormResult:
        if self.candidate.masked == "hidden" and "free" in e_in.kinds:
            return norms.masked_norm(e_in, target)
        rule = norms.layer_norm if module.kind == "layernorm" else norms.rms_norm
        try:
            return rule(e_in, target)
        except Refusal as refusal:
            if self.candidate.norms != "indexed":
                raise
            result = norms.indexed_norm(e_in)
            bound = norms.uneven_bound(e_in, centred=module.kind == "layernorm")
            self.typing.violations.append(Violation(module.name, refusal.found, bound))
            if target is None:
                return result
            gamma = target
            return replace(result, out=target, gamma=gamma, beta=target)

    def _scale_eps(self, module: Module, factor: Fraction) -> None:
        if module.eps is None:
            if factor != 1:
                needs = f"an epsilon that a config key holds (this one is {module.fixed_eps} in the code)"
                raise Refusal(needs, f"epsilon to be multiplied by {factor}", module.name)
            return
        known, first = self.typing.eps.setdefault(module.eps, (factor, module.name))
        if known != factor:
            raise Refusal(
                f"one factor for every norm that reads `{module.eps}`",
                f"{known} at {first}, {factor} here",
                module.name,
            )

    def _rewrite(self, module: Module, leaf: str, rows: Expansion, cols: Expansion | None) -> None:
        rewrite = param_rewrite(self.model, self.candidate, module, leaf, rows, cols)
        self.typing.rewrites[module.name, leaf] = rewrite

    def _expand(self, axis: AxisExpr) -> Expansion:
        return axis.expansion(self.candidate.maps, self.model.sizes)

    def _parts(self, module: Module) -> list[Expansion]:
        """E of each summand of a module's output: of an axis `AXIS/ROLE` where it has that role."""
        maps, out = self.candidate.maps, []
        if BRANCH in maps and module.name in self.branches:
            maps = {**maps, "hidden": maps[BRANCH]}
        for i, axis in enumerate(module.outs.split()):
            part, own_maps = (module.name, i), maps
            if part in self.roles.parts:
                own = self._head_dim(self.roles.parts[part])
                if part in self.roles.behind:
                    own = self._before_norm(self.model.modules[self.roles.behind[part]], own)
                own_maps = {**maps, "head_dim": own}
            if part in self.roles.gates and "ffn/gate" in maps:
                own_maps = {**own_maps, "ffn": maps["ffn/gate"]}
            out.append(axis.expansion(own_maps, self.model.sizes))
        return out

    def _input(self, axis: AxisExpr) -> Expansion:
        """The map of a one-hot input: an id of the old model never selects a new row."""
        self.typing.inputs |= axis.axes
        return self._expand(axis).map_kind("free", "zero")

    # operations ---------------------------------------------------------------------------

    def add(self, a: Act, b: Act) -> Act:
        try:
            add = rules.loose_add if self.candidate.masked == "hidden" else rules.add
            return Act(add(a.map, b.map), a.axis)
        except Refusal as refusal:
            raise _placed(refusal, b.producer or a.producer or "") from None

    def mul(self, a: Act, b: Act) -> Act:
        return Act(rules.product(a.map, b.map), a.axis)

    def split(self, x: Act, module: Module, parts: int) -> Sequence[Act]:
        axes = module.outs.split()
        assert len(axes) == parts
        maps = self._parts(module)
        return [Act(e, axis, module.name) for e, axis in zip(maps, axes, strict=True)]

    def op(self, name: str, args: Sequence[Act | Module], kwargs: Mapping[str, Any]) -> Act:
        if name == "tied":
            return self._tied(args[0], args[1])
        if name == "prepend":
            return self._prepend(args[0], args[1])
        acts = [a for a in args if isinstance(a, Act)]
        if name == "attention":
            return self._attention(*acts)
        if name == "route":
            return self._route(*acts)
        if name == "rope":
            return replace(acts[0], rotary=True)
        if name in ("first", "second", "last", "offset", "token_positions"):
            return acts[0]
        if name == "average":
            return self.add(*acts)
        return Act(rules.activation(acts[0].map, name), acts[0].axis)

    def _attention(self, q: Act, k: Act, v: Act) -> Act:
        sizes, maps = self.model.sizes, self.candidate.maps
        heads = maps.get("heads") or Expansion.identity(sizes["heads"])
        kv_axis = "kv_heads" if k.axis is not None and "kv_heads" in k.axis.axes else "heads"
        kv_heads = maps.get(kv_axis) or Expansion.identity(sizes[kv_axis])
        dims = [self._head_dim(role) for role in ROLES]
        for act, units, dim in zip((q, k, v), (heads, kv_heads, kv_heads), dims, strict=True):
            if act.map != units * dim:
                raise Refusal(f"whole heads ({units.old}→{units.size})", rules.brief(act.map))
        out = rules.attention(heads, kv_heads, rules.head_dim(*dims, rotary=q.rotary))
        if q.rotary and dims[0].size != dims[0].old:
            self._rotate(dims[0].old, dims[0].size)
        return Act(out, q.axis)

    def _route(self, scores: Act, z: Act) -> Act:
        sizes, maps = self.model.sizes, self.candidate.maps
        experts, active = (maps.get(a) or Expansion.identity(sizes[a]) for a in ("experts", "active"))
        try:
            rules.route(scores.map, experts, active)
        except Refusal as refusal:
            raise _placed(refusal, scores.producer or "") from None
        return Act(z.map, z.axis, z.producer)

    def _rotate(self, old: int, new: int) -> None:
        """Frequencies keep their pairs under theta* = theta^(dh*/dh); only plain ones have a theta alone."""
        rope = read_rope(self.model.config)
        if rope.kind != "default":
            raise Refusal("rotary positions of type `default`", f"type `{rope.kind}`")
        theta = grown_theta(rope, old, new)
        if theta is None:
            needs = f"theta* = theta^({Fraction(new, old)}) of at most {LARGEST_THETA:g}"
            raise Refusal(needs, f"theta {rope.theta:g}")
        self.typing.rotary = (Fraction(new, old), theta)

    def _tied(self, embedding: Act | Module, x: Act | Module) -> Act:
        assert isinstance(embedding, Module) and isinstance(x, Act)
        assert embedding.ins is not None
        e_hidden, e_vocab = reduce(add, self._parts(embedding)), self._expand(embedding.ins)
        target = rules.tied_target(e_hidden)
        if x.map != target:
            norm = self.model.modules.get(x.producer or "")
            if norm is None or not norm.is_norm:
                raise Refusal("a norm right before the tied head (or an untied head)", rules.brief(x.map))
            self.typing.violations = [v for v in self.typing.violations if v.module != norm.name]
            self._norm(norm, self._norm_inputs[norm.name], target)
        self.typing.tied.append(ModuleTyping(embedding, target, e_vocab, tied=True))
        return Act(e_vocab, embedding.ins)

    def _prepend(self, token: Act | Module, x: Act | Module) -> Act:
        """A stored token beside those of x: rows pass through, so both have one map."""
        assert isinstance(token, Module) and isinstance(x, Act)
        e = self._expand(token.outs)
        self._rewrite(token, "weight", e, None)
        self.typing.typings[token.name] = ModuleTyping(token, None, e)
        return self.add(x, Act(e, token.outs, token.name))


def _placed(refusal: Refusal, module: str) -> Refusal:
    return Refusal(refusal.needs, refusal.found, refusal.module or module)
