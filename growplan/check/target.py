"""The config and the model of the mixture that a dense model becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from growplan.checkpoint.config import Config
from growplan.diagnostics import DiagnosticError, Source, fail
from growplan.families.bind import bind, known_keys
from growplan.families.model import Family, HeadClass, Model
from growplan.families.rope import read_rope
from growplan.methods.base import Mixture


def mixture_model(family: Family, model: Model, mixture: Mixture) -> Model:
    """`model` as a mixture of `family`, bound to the config it will be saved with.

    Keys of the source that the family does not know are left out: what they do must be in the op
    graph, which is compared afterwards. Raises GP254 where the family's config cannot say what
    the source's says.
    """
    cls = _class(family, model)
    _refuse_biases(family, model)
    sizes = {
        **model.sizes,
        "experts": mixture.experts,
        "active": mixture.active,
        "ffn": model.sizes["ffn"] // mixture.shards,
    }
    data = _config(family, model, sizes, cls)
    text = json.dumps(data)
    config = Config(Path("config.json"), data, Source("config.json", text), {}, {})
    try:
        bound = bind(family, config)
    except DiagnosticError as error:
        first = error.diagnostics[0]
        notes = [("found", d.message) for d in error.diagnostics]
        message = f"no {family.name} config can express this {model.family.name} model"
        fail("GP254", message, notes=notes, help=first.help or "grow the dense model instead")
    leaves = {name: module.leaf_names for name, module in model.modules.items()}
    modules = {n: replace(m, leaf_names=leaves.get(n, m.leaf_names)) for n, m in bound.modules.items()}
    return replace(bound, dtype=model.dtype, modules=modules)


def _class(family: Family, model: Model) -> HeadClass:
    """The class with the same head."""
    for cls in family.classes:
        if cls.head == model.head:
            return cls
    heads = ", ".join(cls.architecture for cls in family.classes)
    fail(
        "GP254",
        f"{family.name} has no class with the head of {model.architecture}",
        notes=[("config key", "`architectures`"), ("classes", heads)],
        help="save the base model, and upcycle that",
    )


def _refuse_biases(family: Family, model: Model) -> None:
    """GP254 where the config switches on a bias that the mixture's module does not have."""
    theirs = {source: name for name, source in family.dense.items()}
    never = {key for key, allowed in family.requires.items() if allowed == (False,)}
    biased = {m.name for m in family.modules if (m.bias_when not in never if m.bias_when else m.bias)}
    keys: dict[str, list[str]] = {}
    for module in model.modules.values():
        if module.bias_when and module.bias and theirs.get(module.name, module.name) not in biased:
            keys.setdefault(module.bias_when, []).append(module.name)
    if keys:
        said = " and ".join(f"`{key}`" for key in keys)
        fail(
            "GP254",
            f"{said} {'is' if len(keys) == 1 else 'are'} true, and a {family.name} model has no such biases",
            notes=[(key, ", ".join(names)) for key, names in keys.items()],
            help="upcycle a model without them; a bias that is not 0 has no place in the result",
        )


def _config(family: Family, model: Model, sizes: Mapping[str, int], cls: HeadClass) -> dict[str, Any]:
    """The source's keys that the family knows, with the new sizes and everything it would default."""
    known = known_keys(family)
    data = {key: value for key, value in model.config.items() if key in known}
    data["model_type"] = family.requires["model_type"][0]
    data["architectures"] = [cls.architecture]
    for rule in family.sizes:
        if rule.key and not rule.length:
            data[rule.key] = sizes[rule.axis]
    if family.act and family.act not in data:
        act = model.family.act
        data[family.act] = model.config.get(act, model.family.requires[act][0]) if act else None
    return {**data, **_rope(model), **_window(family, model)}


def _window(family: Family, model: Model) -> dict[str, Any]:
    """The window of every layer, which an absent key would not mean in every family."""
    sizes = set(model.windows)
    if family.window is None or len(sizes) != 1:
        return {}
    return {family.window.size.name: sizes.pop()}


def _rope(model: Model) -> dict[str, Any]:
    """theta where it is implied: families differ in what they assume."""
    key = "rope_scaling" if model.config.get("rope_scaling") else "rope_parameters"
    given = model.config.get(key) or {}
    if "rope_theta" in given or model.config.get("rope_theta") is not None:
        return {}
    return {key: {"rope_type": "default", **given, "rope_theta": read_rope(model.config).theta}}
