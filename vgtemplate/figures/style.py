"""Colours and frames that all figures share."""

from __future__ import annotations

PAPER, INK, MUTED, GRID = "#ffffff", "#000000", "#595959", "#e5e5e5"
"""Colours of a figure that follow the page's light or dark scheme: ground, text and axes, lesser text, grid lines."""
SERIES_COLOURS = ("#2b7bba", "#d9691c", "#2f9a4c", "#c43f6f", "#8a63c9", "#97700f")
"""Colours of curves, of middle lightness: each stands out from a white and from a nearly black page."""
