"""One file per command, named like it; each holds `command`. Found by scanning this package."""
