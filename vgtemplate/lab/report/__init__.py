"""Verdicts and records as figures and pages for people."""
