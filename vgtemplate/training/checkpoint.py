"""Where checkpoints are kept, and how they are written: whole or not at all."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from vgtemplate.atomic import write_whole


@dataclass(frozen=True)
class Checkpoints:
    """Where the checkpoints of one arm are kept, one file per stage, and how often one is written.

    Args:
        folder: of this arm alone.
        every_seconds: between two checkpoints; 0: before every step.
    """

    folder: Path
    every_seconds: float


class WholeFileIO(TorchCheckpointIO):
    """Lightning's way to the disk, by way of a temporary file that is flushed and renamed."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), buffer.getvalue())
