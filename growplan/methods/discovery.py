"""Finding methods: a method `llama-pro` lives in `llama_pro.py` as `METHOD`."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from inspect import cleandoc

import growplan.methods as package
from growplan.methods.base import Method

_FRAME = (
    "base",
    "discovery",
    "operator",
    "training",
)  # every other module is a method; what methods share is in `support/`
_DEFAULTS = {
    "widen": "fpi",
    "stack": "stackbert",
    "deepen": "identity",
    "mask-in": "msg",
    "upcycle": "upcycle",
}


@cache
def method_names() -> tuple[str, ...]:
    """All methods by name, without importing them."""
    found = pkgutil.iter_modules(package.__path__)
    modules = (m.name for m in found if not m.ispkg and m.name not in _FRAME)
    return tuple(sorted(name.replace("_", "-") for name in modules))


def get_method(name: str) -> Method | None:
    """The method called `name`, or None."""
    if name not in method_names():
        return None
    module = import_module(f"growplan.methods.{name.replace('-', '_')}")
    method: Method = module.METHOD
    return method


def method_doc(name: str) -> str:
    """What the file of a method says of it: before -> after, and its sources."""
    return cleandoc(import_module(f"growplan.methods.{name.replace('-', '_')}").__doc__ or "")


def default_method(verb: str) -> str | None:
    """What a verb means without `via`."""
    return _DEFAULTS.get(verb)
