"""Exact checks: what is true of the layers without any training, measured in float64 against closed forms.

A check takes no arguments and returns every quantity that its decorator names. It never compares with a threshold,
which is the part of the claim's YAML and of the judge. Every random draw comes from Stream.CHECKS; the seed is the
claim's number in docs/register.md.
"""
