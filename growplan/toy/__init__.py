"""A plan at toy scale: its sizes shrunk, a random source of its own family, everything run and asserted."""

from growplan.toy.run import ToyResult, run_toy
from growplan.toy.sizes import toy_sizes

__all__ = ["ToyResult", "run_toy", "toy_sizes"]
