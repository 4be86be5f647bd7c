"""One file per folder that raises diagnostics; each defines `CODES`."""
