"""The rules by family: each a function from the evidence to what it finds; they see numbers, never a network."""
