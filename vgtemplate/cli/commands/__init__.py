"""One file per command of `vgt`."""
