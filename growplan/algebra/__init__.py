"""Exact algebra of expansions: maps from old units to new ones."""

from growplan.algebra.expansion import Expansion
from growplan.algebra.inverse import even_inverse, first_inverse
from growplan.algebra.root import ONE, Root
from growplan.algebra.runs import Kind, Row, Run

__all__ = ["ONE", "Expansion", "Kind", "Root", "Row", "Run", "even_inverse", "first_inverse"]
