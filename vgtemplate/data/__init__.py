"""Data sets: verified files, tensors in memory, batches with a replica axis."""
