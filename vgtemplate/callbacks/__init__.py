"""When to measure: Lightning callbacks around the pure functions of measure.py."""
