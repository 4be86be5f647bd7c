"""Diagnostics as values: source spans, codes, and what to do."""

from growplan.diagnostics.core import Diagnostic, DiagnosticError, Severity, Source, Span, fail

__all__ = ["Diagnostic", "DiagnosticError", "Severity", "Source", "Span", "fail"]
