"""The third zoo: architectures, losses, data and loops that neither of the others has. Looked at once."""
