"""What is to be run, and running it: one process at a time trains a key and leaves its record."""
