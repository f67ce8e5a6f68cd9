"""How far apart colours are to those who lack one kind of cones."""

from __future__ import annotations

from itertools import combinations

import numpy as np

SEEN = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""Machado, Oliveira & Fernandes 2009, severity 1.0: linear RGB to what is seen of it."""
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
"""IEC 61966-2-1: linear sRGB to CIE XYZ under D65."""
CURVES = 20
"""Least distance of two curves in CIE Lab (1976), where 2.3 is the least that an eye notices side by side: a curve has
its colour alone."""


def lab(colour: str, kind: str = "all cones") -> np.ndarray:
    """CIE Lab under D65 of what is seen of an sRGB colour."""
    encoded = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SEEN[kind]) @ linear, 0, 1)
    ratio = (np.array(TO_XYZ) @ seen) / np.sum(TO_XYZ, axis=1)
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def closest(colours: dict[str, str], kind: str) -> tuple[float, str, str]:
    """The least distance between two colours, and which two."""
    pairs = combinations(colours, 2)
    return min(
        (float(np.linalg.norm(lab(colours[one], kind) - lab(colours[other], kind))), one, other) for one, other in pairs
    )
