"""Exact checks: what is true of the layers without any training, measured."""
