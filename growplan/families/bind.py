"""A family and a config.json (and, where there are any, tensor headers) -> `Model`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from growplan.checkpoint.config import Config
from growplan.checkpoint.dtypes import CONFIG_DTYPES
from growplan.diagnostics import Span, fail
from growplan.families.keys import CARRIED, READ, REFUSED
from growplan.families.layer_lists import check_layer_lists
from growplan.families.load import UNTIED, load_family
from growplan.families.model import Assign, Family, HeadClass, Model, Module
from growplan.families.ops import ACTIVATIONS
from growplan.families.positions import PAD, calls, counts_tokens, wrong_padding
from growplan.families.problems import Problems, close_to
from growplan.families.rope import ROPE_KEYS, RopeError, read_rope
from growplan.families.sizes import check_sizes, resolve_sizes
from growplan.families.statements import resolve, used_modules
from growplan.families.tensors import Same, Tensors, best_match, check_tensors
from growplan.families.text import builtin_families
from growplan.families.window import WindowError, layer_kinds, layer_windows

TIE = "tie_word_embeddings"


def detect(config: Config) -> Family:
    """The family that ships for the config's model_type; GP310 where there is none."""
    name = config.data.get("model_type")
    builtin = builtin_families()
    if isinstance(name, str):
        first = [name] if name in builtin else []
        for candidate in [*first, *builtin]:
            family = load_family(candidate)
            if name in family.requires["model_type"]:
                return family
    known = ", ".join(sorted(builtin))
    help = [*(close_to(name, builtin) if isinstance(name, str) else ()), f"families: {known}"]
    help.append("describe it in a file of your own: `--family FILE` (docs/adding-a-family.md shows how)")
    if name is None:
        fail("GP310", "config.json does not say its `model_type`", Span(config.source, 0, 1), help=help)
    return fail("GP310", f"no family has the model_type {name!r:.60}", config.span("model_type"), help=help)


def bind(family: Family, config: Config, tensors: Tensors | None = None, same: Same | None = None) -> Model:
    """The model that a config describes.

    `tensors` are the headers of the checkpoint: they decide the prefix, which of a class' heads
    is stored and the dtype, and every name, shape and dtype is checked. Without them the class'
    first head and the config's dtype hold. `same(a, b)` says whether two stored tensors hold
    the same bytes; a tied head that is stored again is accepted only where it confirms it.

    Raises one `DiagnosticError` with everything wrong: GP311-GP321 (config), GP330-GP335 (tensors).
    """
    problems = Problems()
    _check_keys(family, config, problems)
    _check_values(family, config, problems)
    sizes = resolve_sizes(family, config, problems)
    check_sizes(family, sizes, config, problems)
    classes = _classes(family, config, problems)
    _check_padding(family, config, sizes, problems)
    if "depth" in sizes:
        check_layer_lists(family, config, sizes["depth"], problems)
        _check_window(family, config, sizes["depth"], problems)
    problems.stop()
    candidates = [_model(family, config, sizes, cls) for cls in classes]
    if tensors is None:
        return candidates[0]
    model = check_tensors(best_match(candidates, tensors), tensors, same, problems)
    problems.stop()
    return model


# config ----------------------------------------------------------------------------------------


def known_keys(family: Family) -> frozenset[str]:
    """Every config key that is handled, carried or checked."""
    keys = {*READ, *CARRIED, *REFUSED, *family.requires, *family.defaults, *family.carried, *family.aliases}
    keys.update(family.layer_lists)
    for rule in family.sizes:
        keys.update(key for key in (rule.key, *rule.also) if key)
    for module in family.modules:
        keys.update(key for key in (module.eps, module.bias_when) if key)
        if module.when:
            keys.add(module.when[0])
    if family.window is not None:
        keys.update(family.window.keys)
    return frozenset(keys | set(ROPE_KEYS)) if _uses_rope(family) else frozenset(keys)


def _uses_rope(family: Family) -> bool:
    return any(calls(family.block, "rope"))


def _check_keys(family: Family, config: Config, problems: Problems) -> None:
    known = known_keys(family)
    for key in config.data:
        if key not in known:
            help = (
                *close_to(key, known),
                f"if it does not change what the model computes, list it under `carried`, or under "
                "`aliases` if it repeats a size, in a copy of "
                f"the family file (`{family.name}.yaml`) and use `--family FILE`",
            )
            message = f"config key `{key[:60]}` is not known in family {family.name}"
            problems.add("GP312", message, config.span(key), help=help)


def _check_values(family: Family, config: Config, problems: Problems) -> None:
    data = config.data
    other_family = "use another model, or `--family FILE` with a family file that handles it"
    for key, allowed in family.requires.items():
        value = data.get(key)
        if key in data and not _among(value, allowed):
            if value is None and False in allowed:
                continue
            shown = ", ".join(_json(v) for v in allowed)
            message = f"`{key}` is {_json(value)}; family {family.name} handles {shown}"
            problems.add("GP313", message, config.span(key), help=other_family)
    for key, refusal in REFUSED.items():
        if key in data and key not in family.requires and not _among(data[key], refusal.allowed):
            message = f"`{key}` is {_json(data[key])}, which is not handled"
            problems.add("GP313", message, config.span(key), help=refusal.help)
    for key in dict.fromkeys(m.eps for m in family.modules if m.eps):
        _check_epsilon(family, config, key, problems)
    for key in _switches(family):
        if key in data and not isinstance(data[key], bool):
            message = f"`{key}` is {_json(data[key])}, not true or false"
            problems.add("GP313", message, config.span(key), help="write true or false")
    _check_dtype(config, problems)
    if _uses_rope(family):
        try:
            read_rope(data)
        except RopeError as error:
            problems.add("GP318", str(error), config.span(error.key), help=error.help)


def _check_padding(family: Family, config: Config, sizes: Mapping[str, int], problems: Problems) -> None:
    if counts_tokens(family.embed):
        wrong = wrong_padding({PAD: family.defaults.get(PAD), **config.data}, sizes)
        if wrong is not None:
            where = config.span(PAD) or Span(config.source, 0, 1)
            help = "positions are counted from it: write the id of the padding token, 1 for RoBERTa"
            problems.add("GP351", wrong, where, help=help)


def _check_window(family: Family, config: Config, depth: int, problems: Problems) -> None:
    try:
        layer_windows(family.window, config.data, depth)
    except WindowError as error:
        where = config.span(error.key) or Span(config.source, 0, 1)
        problems.add("GP350", f"`{error.key}`: {error}", where, help=error.help)


def _switches(family: Family) -> list[str]:
    keys = [m.bias_when for m in family.modules] + [m.when[0] if m.when else None for m in family.modules]
    return list(dict.fromkeys(key for key in (TIE, *keys) if key))


def _check_epsilon(family: Family, config: Config, key: str, problems: Problems) -> None:
    value = config.data.get(key, family.defaults.get(key))
    if value is None:
        where = config.span(key) or Span(config.source, 0, 1)
        problems.add("GP319", f"config.json does not say `{key}`", where, help=f"add `{key}`; 1e-05 is usual")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        message = f"`{key}` is {_json(value)}, not a number from 0 to 1"
        problems.add("GP319", message, config.span(key), help="write a small number, such as 1e-05")
    elif math.isnan(value):
        problems.add("GP319", f"`{key}` is not a number", config.span(key), help="write one, such as 1e-05")


def _check_dtype(config: Config, problems: Problems) -> None:
    for key in ("dtype", "torch_dtype"):
        word = config.data.get(key)
        if word is None or (isinstance(word, str) and word.removeprefix("torch.") in CONFIG_DTYPES):
            continue
        help = f"known: {', '.join(CONFIG_DTYPES)}"
        problems.add("GP320", f"`{key}` is {_json(word)}, no float type", config.span(key), help=help)


def _among(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(type(value) is type(other) and value == other for other in allowed)


def _json(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value[:40]}"'
    words = {True: "true", False: "false", None: "null"}
    if isinstance(value, bool) or value is None:
        return words[value]
    return f"{value!r:.40}"


def _classes(family: Family, config: Config, problems: Problems) -> list[HeadClass]:
    """The classes the architecture allows; all of the family's where the config names none."""
    named = config.data.get("architectures")
    if named is None or named == []:
        return list(family.classes)
    words = [word for word in named if isinstance(word, str)] if isinstance(named, list) else []
    classes = [cls for cls in family.classes if words and cls.architecture == words[0]]
    if not classes:
        known = list(dict.fromkeys(cls.architecture for cls in family.classes))
        shown = words[0] if words else _json(named)
        help = (*close_to(shown, known), f"family {family.name} has: {', '.join(known)}")
        message = f"architecture `{shown[:60]}` is not in family {family.name}"
        problems.add("GP311", message, config.span("architectures"), help=help)
    return classes


# the model -------------------------------------------------------------------------------------


def _model(family: Family, config: Config, sizes: Mapping[str, int], cls: HeadClass) -> Model:
    data = {**config.data, **_defaults(family, config)}
    if family.window is not None and family.window.kinds is not None:
        data[family.window.kinds.name] = layer_kinds(family.window, config.data, sizes["depth"])
    tied = bool(data.get(TIE, False))
    embed, block = _resolved(family, data, family.embed), _resolved(family, data, family.block)
    head, has_tied = head_statements(family, cls.head, data)
    dtype = config.dtype or "F32"
    return Model(
        family,
        data,
        sizes,
        cls.architecture,
        cls.head,
        cls.prefix,
        tied and has_tied,
        active_modules(family, data, (*embed, *block, *head)),
        embed,
        block,
        head,
        dtype,
    )


def _defaults(family: Family, config: Config) -> dict[str, Any]:
    """What transformers assumes of keys that are absent; rope_theta may stand in another one."""
    out = {key: value for key, value in family.defaults.items() if config.data.get(key) is None}
    inside = (config.data.get(key) for key in ("rope_parameters", "rope_scaling"))
    if any(isinstance(given, Mapping) and "rope_theta" in given for given in inside):
        out.pop("rope_theta", None)
    return out


def _resolved(family: Family, data: Mapping[str, Any], statements: tuple[Assign, ...]) -> tuple[Assign, ...]:
    """Statements with `act` named, and modules that the config switches off taken out."""
    act = None if family.act is None else ACTIVATIONS[data.get(family.act, family.requires[family.act][0])]
    off = frozenset(m.name for m in family.modules if m.when and bool(data.get(m.when[0])) != m.when[1])
    return resolve(statements, act, off)


def active_modules(
    family: Family, data: Mapping[str, Any], statements: tuple[Assign, ...]
) -> dict[str, Module]:
    """The modules that statements use, in the family's order, biases decided by the config."""
    modules = {m.name: _active(m, data) for m in family.modules}
    used = used_modules(statements, modules)
    return {name: module for name, module in modules.items() if name in used}


def _active(module: Module, data: Mapping[str, Any]) -> Module:
    """The module with its bias decided by the config."""
    if module.bias_when is None:
        return module
    return replace(module, bias=bool(data.get(module.bias_when, False)))


def head_statements(family: Family, head: str, data: Mapping[str, Any]) -> tuple[tuple[Assign, ...], bool]:
    """The statements of `mlm + relation`, and whether tying makes a difference to them."""
    statements: list[Assign] = []
    tied, has_tied = bool(data.get(TIE, False)), False
    for part in head.split(" + "):
        untied = family.heads.get(part + UNTIED)
        has_tied = has_tied or untied is not None
        statements += family.heads[part] if tied or untied is None else untied
    return _resolved(family, data, tuple(statements)), has_tied
