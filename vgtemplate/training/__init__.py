"""From an arm to its record."""
