"""Checkpoints on disk: headers, lazy reads, preallocated writes, and the files beside the weights.

Standard library only; importing this package imports none of its modules.
"""
