"""The Lightning that is in use, as `pl`: all of the package takes it from here.

There are two packages of the same code, `pytorch_lightning` and `lightning.pytorch`, and neither knows the other's
classes. Whoever has imported `lightning.pytorch` before, and not the other, is served with that. Neither imports the
other.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

__all__ = ["pl"]

if TYPE_CHECKING or "lightning.pytorch" not in sys.modules or "pytorch_lightning" in sys.modules:
    import pytorch_lightning as pl
else:
    import lightning.pytorch as pl
