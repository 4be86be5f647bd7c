"""The checker: proves, without weights, what a plan does."""

from growplan.check.checker import check_plan
from growplan.check.cost import cost

__all__ = ["check_plan", "cost"]
