"""Growth methods, one file each, found by package scan."""

from growplan.methods.discovery import default_method, get_method, method_doc, method_names

__all__ = ["default_method", "get_method", "method_doc", "method_names"]
