"""Layers with the replica axis, and the networks built of them."""
