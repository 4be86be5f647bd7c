"""Upcycling: a dense model proved to be the mixture that is made from it.

The proof is structural. Every local name of the mixture's block is written out, `route(_, z)`
becomes z, and each module becomes the dense one that it is made from; what is left must be the
dense model's own block, operation by operation. That the replacement is sound is the rule
`rules.equal_experts`.
"""

from __future__ import annotations

from growplan.check.claims import StepProof
from growplan.check.mixtures import expand, ffn_roles, of_dense, router_of
from growplan.check.resolve import Request
from growplan.check.rules import Refusal, equal_experts
from growplan.check.target import mixture_model
from growplan.check.typed import Proof, Upcycling
from growplan.diagnostics import fail
from growplan.families import load_family
from growplan.families.model import Family, Model, Module
from growplan.families.rope import ROPE_KEYS, read_rope
from growplan.families.text import builtin_families
from growplan.methods.base import Claim, Method, Mixture, UpcycleRequest


def upcycle_proof(request: Request, method: Method, model: Model, promised: Claim) -> StepProof:
    """The mixture that `model` becomes, with its proof.

    Raises GP253 (no mixture is made of such models), GP254 (its config cannot say it), GP257 (sizes),
    GP258 (it is a mixture), GP204 (the claim asks for more than can be proved).
    """
    family = target_family(model)
    options = request.step.options if request.step else {}
    mixture = method.upcycle(UpcycleRequest(request.grow["experts"][1], model.sizes["ffn"], options))
    after = mixture_model(family, model, mixture)
    recipe = _recipe(after, mixture)
    try:
        same_function(model, after)
    except Refusal as refusal:
        where = f" ({refusal.module})" if refusal.module else ""
        fail(
            "GP254",
            f"a {family.name} model cannot compute what this {model.family.name} model does",
            notes=[("needs", f"{refusal.needs}{where}"), ("found", refusal.found)],
            help="grow the dense model instead: `widen ffn x2`",
        )
    proof = _proof(model, mixture)
    if not proof.claim.covers(promised):
        fail(
            "GP204",
            f"`{method.name}` cannot keep the function {promised.strength} with these options",
            notes=[("claim", str(promised)), *(("why", reason) for reason in proof.reasons)],
            help=(
                "`scale down` or `sqrt` for shards, and neither `noise` nor `drop`, is exact",
                f"or `expect {proof.claim.strength}`",
            ),
        )
    changed = {k: v for k, v in after.config.items() if model.config.get(k) != v}
    return StepProof(
        mixture.label, proof, {}, None, config=tuple(sorted(changed.items())), after=after, upcycling=recipe
    )


def target_family(model: Model) -> Family:
    """The mixture that takes the model's ffn for its experts. Raises GP253 and GP258."""
    if "experts" in model.sizes:
        experts = model.sizes["experts"]
        fail(
            "GP258",
            f"the model is a mixture of {experts} experts already",
            help=f"`widen experts {experts}→{2 * experts} via fpi` adds experts",
        )
    families = [load_family(name) for name in builtin_families()]
    for family in families:
        if model.family.name in family.upcycles:
            return family
    able = ", ".join(dict.fromkeys(name for family in families for name in family.upcycles))
    fail(
        "GP253",
        f"there is no mixture of experts that a {model.family.name} model could become",
        notes=[("why", f"transformers has no class with {model.family.name}'s block around a routed ffn")],
        help=f"upcycling is for {able}; `widen ffn` grows this one",
    )


def _recipe(after: Model, mixture: Mixture) -> Upcycling:
    """Where every module of the mixture comes from, and what is done to it."""
    roles = {module: role for role, module in ffn_roles(after).items()}
    scales = {module: mixture.scales[role] for module, role in roles.items() if role in mixture.scales}
    return Upcycling(mixture, after.family.dense, router_of(after), scales)


# the proof ---------------------------------------------------------------------------------------


def same_function(before: Model, after: Model) -> None:
    """Refuse unless `after`, with route(_, z) = z and its modules' sources, is `before`."""
    dense = after.family.dense
    for what, old, new in (
        ("embed", before.embed, after.embed),
        ("block", before.block, after.block),
        ("head", before.head_stmts, after.head_stmts),
    ):
        a, b = expand(old), of_dense(expand(new), dense)
        for name in a.keys() & b.keys():
            if a[name] != b[name] and (name == "x" or what == "head"):
                raise Refusal(f"the same operations in `{what}`", f"`{name}` is computed otherwise")
        if what == "head" and before.outputs != after.outputs:
            raise Refusal("the same outputs", f"{', '.join(before.outputs)} and {', '.join(after.outputs)}")
    for name, module in after.modules.items():
        if name != router_of(after):
            _same_module(before, module, dense.get(name, name))
    if before.windows != after.windows:
        raise Refusal(f"windows {before.windows[:4]}", str(after.windows[:4]))
    for key in dict.fromkeys(m.eps for m in after.modules.values() if m.eps):
        if before.config.get(key) != after.config.get(key):
            raise Refusal(f"`{key}` {before.config.get(key)}", str(after.config.get(key)))
    if any(key in before.config or key in after.config for key in ROPE_KEYS):
        old_rope, new_rope = read_rope(before.config), read_rope(after.config)
        if old_rope != new_rope:
            raise Refusal(f"rotary positions {old_rope}", str(new_rope))


def _same_module(before: Model, module: Module, source: str) -> None:
    old = before.modules.get(source)
    if old is None:
        raise Refusal("a module that it is made from", f"no `{source}`", module.name)
    if old.bias != module.bias:
        key = f" (`{old.bias_when}`)" if old.bias_when else ""
        raise Refusal(f"{'a' if old.bias else 'no'} bias{key}", "another", module.name)
    for what in ("kind", "ins", "outs", "stored", "eps", "fixed_eps"):
        a, b = getattr(old, what), getattr(module, what)
        if a != b:
            raise Refusal(f"{what} {a}, as `{source}` has", str(b), module.name)


def _proof(before: Model, mixture: Mixture) -> Proof:
    name = before.family.name
    same = f"but for its routing the block is {name}'s: the same operations on the same tensors, renamed"
    try:
        reason = equal_experts(
            mixture.shards, mixture.active, mixture.scales, noise=mixture.noise, drop=mixture.drop
        )
    except Refusal as refusal:
        return Proof(Claim("none"), (f"needs {refusal.needs}; found {refusal.found}", same))
    return Proof(Claim("exact"), (f"{mixture.label}: {reason}", same))
