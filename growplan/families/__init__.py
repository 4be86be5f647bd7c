"""Model families as data, and models bound from them (one data file per family)."""

from growplan.families.bind import bind, detect, known_keys
from growplan.families.expr import ExpressionError, evaluate_size
from growplan.families.load import load_family, parse_family
from growplan.families.model import Family, Model
from growplan.families.sizes import explicit_config, kept_equations, open_equations, resolve_sizes
from growplan.families.stored import bind_stored
from growplan.families.text import builtin_families

__all__ = [
    "ExpressionError",
    "Family",
    "Model",
    "bind",
    "bind_stored",
    "builtin_families",
    "detect",
    "evaluate_size",
    "explicit_config",
    "kept_equations",
    "known_keys",
    "load_family",
    "open_equations",
    "parse_family",
    "resolve_sizes",
]
