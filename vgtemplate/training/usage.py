"""How fast an arm was trained and how much memory it took, for the record; decides no number."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_megabytes() -> float | None:
    """Return the most memory that this process had in megabytes (VmHWM), where the system says so.

    psutil does not know it, and getrusage begins with that of the process which started this one.
    """
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 / 1e6 if found else None


class Usage:
    """Measures one training, from when it is made.

    On a GPU the memory is what torch has allocated there at most; on a processor, where only Linux tells, by how much
    the process has grown at most.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = time.perf_counter()
        self._before: float | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        with suppress(OSError):
            _CLEAR.write_text("5")  # proc(5): forget the peak
            # Right after the reset the most is what there is now.
            self._before = peak_megabytes()

    def _megabytes(self) -> float | None:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 1e6
        peak = peak_megabytes()
        return None if self._before is None or peak is None else max(0.0, peak - self._before)

    def describe(self, num_images: int, num_replicas: int) -> dict[str, Any]:
        """Return images per second and megabytes per replica; what is not known is left out.

        `num_images` is how many all replicas together were shown in training.
        """
        megabytes = self._megabytes()
        known = {} if megabytes is None else {"megabytes_a_replica": round(megabytes / num_replicas, 1)}
        return {"images_per_second": round(num_images / (time.perf_counter() - self._started), 1), **known}
