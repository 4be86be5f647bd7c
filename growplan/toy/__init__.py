"""A plan at toy scale: its sizes shrunk, a random source of its own family, everything run and asserted."""

from growplan.toy.run import StagedToy, ToyResult, run_toy, run_toys
from growplan.toy.sizes import toy_sizes

__all__ = ["StagedToy", "ToyResult", "run_toy", "run_toys", "toy_sizes"]
