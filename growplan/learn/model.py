"""The target as transformers runs it: its class, built from the config alone, on parameters given by name.

The class is made without drawing weights and then emptied: its parameters lie on the meta device, so
that a parameter which a call forgets to give cannot pass for one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from math import prod
from typing import Any, NoReturn

import torch
from torch import Tensor

from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.learn.packed import Packed, find_packed

Named = Mapping[str, Tensor]  # by name on disk
AS_WRITTEN = {
    "use_cache": False,
    "experts_implementation": "eager",
}  # the kernels for experts want round sizes


class Target:
    """The transformers class of a model, called with tensors by their names on disk.

    `names` maps each name on disk to the parameter that it is in memory; a parameter tied to another
    is named once. `packed` are the parameters that hold several tensors: the experts of a mixture, which
    run one after the other. Dropout is off, as in eval mode, until `train` says otherwise.
    Raises GP532 where the class cannot be built, or is another model than the one described.
    """

    def __init__(self, model: Model, device: torch.device | str = "cpu") -> None:
        self.model = model
        self.module: Any = build(model)
        self.names, self.packed = names_in_memory(model, self.module)
        _check_shapes(model, self.module, self.names, self.packed)
        _empty(self.module)
        _move_buffers(self.module, device)
        self.module.eval()

    def train(self, on: bool) -> None:
        """Run the class in training mode, its dropout on, or in eval mode."""
        self.module.train(on)

    def __call__(self, tensors: Named, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """The logits of the class' own head. Raises GP533 where the class recomputes its blocks."""
        refuse_recomputation(self.module)
        parameters = self.parameters(tensors)

        def call(**given: Tensor) -> Any:
            return torch.func.functional_call(self.module, parameters, (), given)

        return logits_of(call, self.model, inputs, mask)

    def parameters(self, tensors: Named) -> dict[str, Tensor]:
        """The parameters that some tensors make, by their names in memory; what is none is left out."""
        own = {self.names[name]: tensor for name, tensor in tensors.items() if name in self.names}
        whole = {path: each for path, each in self.packed.items() if each.names[0] in tensors}
        return own | {path: packed.of(tensors) for path, packed in whole.items()}

    def path(self, name: str) -> str:
        """The parameter that a tensor of the model is, or lies in."""
        if name in self.names:
            return self.names[name]
        return next(path for path, packed in self.packed.items() if name in packed.names)


def logits_of(call: Callable[..., Any], model: Model, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
    """The logits of a head of transformers; of answers [rows, 2, tokens]: none begins or ends at a filler.

    `call` is a module of the model's class, or runs one; `mask` is 0 at tokens that only fill a row up.
    """
    word = "pixel_values" if model.inputs == "image" else "input_ids"
    given = {word: inputs} if mask is None else {word: inputs, "attention_mask": mask}
    out = call(**given)
    if "start_logits" in out:
        spans = torch.stack([out.start_logits, out.end_logits], 1)
        return spans if mask is None else spans.masked_fill(mask[:, None] == 0, -torch.inf)
    logits = getattr(out, "logits", None)
    found: Tensor = out.prediction_logits if logits is None else logits
    return found


def build(model: Model) -> Any:
    """The module of the model's class and config, its weights not drawn. Raises GP532."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    cls = getattr(transformers, model.architecture, None)
    if cls is None:
        way = "update transformers, or grow this model by a method that learns nothing"
        fail("GP532", f"transformers has no class {model.architecture}", help=way)
    try:
        with _undrawn():
            module = cls(cls.config_class.from_dict({**copy.deepcopy(dict(model.config)), **AS_WRITTEN}))
    except Exception as error:  # configs are refused by errors of many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        way = "name every axis that must change with these in the same step"
        fail("GP532", f"transformers builds no {model.architecture} of these sizes: {reason}", help=way)
    module.tie_weights()
    return module


def names_in_memory(model: Model, module: Any) -> tuple[dict[str, str], dict[str, Packed]]:
    """(name on disk -> name of its parameter, parameter -> how it is packed), for every tensor of the model.

    Raises GP532 for a tensor that is stored in other pieces than it has in memory, and for a parameter of
    the class that no tensor gives.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    from_disk = _disk_names(module, parameters)
    written = dict(zip(_as_the_class_writes(model), (name for name, _, _ in model.tensors()), strict=True))
    names = {name: from_disk[as_written] for as_written, name in written.items() if as_written in from_disk}
    packed = _packed(module, parameters, written, set(names.values()))
    held = {name for each in packed.values() for name in each.names}
    for name in written.values():
        if name not in names and name not in held:
            way = "widen or stack it: that needs no class of transformers"
            fail("GP532", f"`{name}` is no parameter of its own in {model.architecture}", help=way)
    given = {id(parameters[name]) for name in (*names.values(), *packed)}
    missing = [name for name, parameter in parameters.items() if id(parameter) not in given]
    if missing:
        way = "load the source by transformers and save it again"
        fail("GP532", f"{model.architecture} has `{missing[0]}`, which is not stored", help=way)
    return names, packed


def _packed(
    module: Any, parameters: Mapping[str, Tensor], written: Mapping[str, str], known: set[str]
) -> dict[str, Packed]:
    """The parameters not in `known` that hold tensors; `written`: the class' name -> that on disk."""
    if len(known) == len(written):
        return {}
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items() if name not in known}
    return {
        name: Packed(tuple(written[each] for each in found.names), found.shape)
        for name, found in find_packed(module, shapes).items()
        if all(each in written for each in found.names)
    }


def refuse_recomputation(module: Any) -> None:
    """GP533 where the class' own gradient checkpointing is on.

    It runs a block again in the backward pass, when the parameters of the call are no longer in
    place: the gradients would be those of other weights, without a word.
    """
    on = getattr(module, "is_activation_checkpointing", None)  # its name since transformers 5
    if getattr(module, "is_gradient_checkpointing", False) if on is None else on:
        way = "take `gradient_checkpointing` out of config.json, or call `gradient_checkpointing_disable()`"
        fail("GP533", "gradient checkpointing of the transformers class is on", help=way)


def _undrawn() -> AbstractContextManager[Any]:
    """Modules built inside draw no weights, where transformers has a way to say so."""
    try:
        from transformers.initialization import no_init_weights
    except ImportError:
        return nullcontext()
    context: AbstractContextManager[Any] = no_init_weights()
    return context


def _disk_names(module: Any, parameters: Mapping[str, Tensor]) -> dict[str, str]:
    """Name on disk -> name in memory, by what transformers does when it saves."""
    marks = {name: torch.empty(p.shape, device="meta") for name, p in parameters.items()}
    try:
        from transformers.core_model_loading import revert_weight_conversion
    except ImportError:
        return {name: name for name in marks}
    owner = {id(mark): name for name, mark in marks.items()}
    written = revert_weight_conversion(module, dict(marks))
    return {name: owner[id(mark)] for name, mark in written.items() if id(mark) in owner}


def _as_the_class_writes(model: Model) -> Iterator[str]:
    """The names of `model.tensors()` as its class saves them: its own prefix, today's leaf names."""
    prefixes = {c.prefix for c in model.family.classes if c.architecture == model.architecture}
    prefix = prefixes.pop() if prefixes else model.prefix
    modules = {name: replace(module, leaf_names=("weight", "bias")) for name, module in model.modules.items()}
    written = replace(model, prefix=prefix, modules=modules)
    return (name for name, _, _ in written.tensors())


def _check_shapes(model: Model, module: Any, names: Mapping[str, str], packed: Mapping[str, Packed]) -> None:
    parameters = dict(module.named_parameters(remove_duplicate=False))
    wanted = {name: model.shape(param) for name, param, _ in model.tensors()}
    for name, parameter in names.items():
        if tuple(parameters[parameter].shape) != wanted[name]:
            _another(model, name, tuple(parameters[parameter].shape), wanted[name])
    for each in packed.values():
        columns = {wanted[name][-1] for name in each.names}
        rows = sum(prod(wanted[name][:-1]) for name in each.names)
        if columns != {each.shape[-1]} or rows != prod(each.shape[:-1]):
            _another(model, each.names[0], each.shape, wanted[each.names[0]])


def _another(model: Model, name: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> NoReturn:
    notes = [("class", str(list(found))), ("plan", str(list(wanted)))]
    message = f"{model.architecture} of this config has another `{name}` than the plan makes"
    way = "name every axis that must change with these in the same step"
    fail("GP532", message, notes=notes, help=way)


def _empty(module: Any) -> None:
    """Every parameter to the meta device, tied ones still tied."""
    made: dict[int, torch.nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None:
                meta = torch.nn.Parameter(torch.empty_like(parameter, device="meta"))
                part._parameters[name] = made.setdefault(id(parameter), meta)


def _move_buffers(module: Any, device: torch.device | str) -> None:
    for part in module.modules():
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = buffer.to(device)
