"""The implied step that gives a tied head a matrix of its own, before a step that asks for one.

    logits = tied(wte, y)   ->   logits = lm_head(y),   lm_head.weight = wte.weight

It is exact, and what follows is held to the laws of an untied model: the head's matrix then
carries the shares of its copies, where a tied one leaves them to the last norm.
"""

from __future__ import annotations

from growplan.check.resolve import Request
from growplan.check.typed import Proof, TypedStep
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.families.untie import has_tied_form, head_sources, same_head, untied
from growplan.methods.base import Claim, Method

VERB = "untie"


def untie_step(request: Request, method: Method, before: Model, index: int) -> TypedStep:
    """The step before that of `request`. Raises GP235 where the family file does not say how."""
    after = untied(before)
    try:
        sources = head_sources(before, after)
        proved = same_head(before, after)
    except KeyError as error:
        _unknown(before, f"`copies` does not say what `{error.args[0]}` repeats")
    if not proved:
        _unknown(before, "with that matrix for the embedding, its untied head is not the tied one")
    tensors = (f"{name} = {source.name}" for name, source in sources.items())
    reason = f"the head reads a copy of what it read: {', '.join(tensors)}"
    return TypedStep(
        index=index,
        id=f"{request.id}/{VERB}",
        verb=VERB,
        method=method.name,
        axes=(),
        text=f"{VERB} head",
        origin=f"implied by {request.id.split('/')[0]}",
        implied=f"{method.name}, head untie",
        candidate="",
        promised=Claim("exact"),
        proof=Proof(Claim("exact"), (reason,)),
        before=before,
        after=after,
        maps={},
        stream=None,
        config=(("tie_word_embeddings", False),),
        span=request.span,
    )


def nothing_to_untie(model: Model) -> str:
    """Why `head untie` changes nothing in a model without a tied head."""
    if has_tied_form(model):
        return "`head untie`: the head has a matrix of its own already"
    return f"`head untie`: {model.architecture} has no head that reads the embedding"


def _unknown(model: Model, found: str) -> None:
    fail(
        "GP235",
        f"the head of {model.architecture} cannot be untied by family {model.family.name}",
        notes=[("found", found)],
        help="leave `head untie` out: with a tied head the last norm takes the factor",
    )
