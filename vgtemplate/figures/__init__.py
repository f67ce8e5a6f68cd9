"""Figures of records and of the theory."""
