"""The textual form of the IR: `parse_ir(print_ir(graph)) == graph`."""

from growplan.ir.text.parser import parse_ir
from growplan.ir.text.printer import print_ir

__all__ = ["parse_ir", "print_ir"]
