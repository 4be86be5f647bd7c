"""Checkpoints on disk: headers, lazy reads, preallocated writes, and the files beside the weights.

Standard library only. What `check` needs is named here; the rest is imported from its module
(`reader`, `layout`, `writer`, `output`, `sidecars`, `card`, `growth`, `verify`).
"""

from growplan.checkpoint.config import Config, read_config, write_config
from growplan.checkpoint.headers import Headers, find_headers, read_headers
from growplan.checkpoint.safetensors_header import FileHeader, TensorInfo

__all__ = [
    "Config",
    "FileHeader",
    "Headers",
    "TensorInfo",
    "find_headers",
    "read_config",
    "read_headers",
    "write_config",
]
