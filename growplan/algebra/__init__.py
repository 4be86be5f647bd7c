"""Exact algebra of expansions: maps from old units to new ones."""

from growplan.algebra.expansion import ONE, Expansion, Kind, Root, Row, Run
from growplan.algebra.inverse import even_inverse, first_inverse

__all__ = ["ONE", "Expansion", "Kind", "Root", "Row", "Run", "even_inverse", "first_inverse"]
