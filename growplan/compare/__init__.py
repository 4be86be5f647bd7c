"""Comparing two plans by meaning: steps by id, sizes, claims, costs, tensors. Values only.

`growplan.compare.diff.compare` is the entry; `growplan.compare.read` gets the two sides.
"""
