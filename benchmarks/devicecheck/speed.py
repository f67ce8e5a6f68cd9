"""`python -m benchmarks.devicecheck.speed DEVICE [--quick]`: ours beside a loop by hand and plain Lightning."""

from __future__ import annotations

import sys
from functools import partial

import torch

from benchmarks import peers
from benchmarks.cases import Work, arm
from benchmarks.ours import population

WORKS = (("mlp", 4), ("mlp", 20), ("mlp", 50), ("cnn", 10))


def main(device: str, quick: bool) -> None:
    """Print steps per second and network, and how much memory a network takes."""
    steps, counts = (3, (1, 2)) if quick else (100, (1, 10, 64, 256))
    for kind, depth in WORKS[:1] if quick else WORKS:
        name = f"{kind.upper()} depth {depth}"
        width = 8 if kind == "cnn" else 64
        work = Work(name, arm(kind, depth, width, num_train=2_000), steps, 5, device)
        hand, plain = peers.by_hand(work), peers.lightning(work)
        print(f"{name}: by hand; Lightning\t{1 / hand:,.0f}; {1 / plain:,.0f} steps/s")
        for number in counts:
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds = population(work, number)
            memory = f", {torch.cuda.max_memory_allocated() / number / 2**20:.1f} MiB each" if device == "cuda" else ""
            faster = f"{plain / seconds:.1f} times Lightning, {hand / seconds:.1f} times by hand"
            print(f"{name}: ours, {number} at once\t{1 / seconds:,.0f} steps/s, {faster}{memory}", flush=True)
        if device == "cuda":
            compiled = population(work, 10, partial(torch.compile, mode="reduce-overhead"))
            print(f"{name}: ours, 10, CUDA graphs\t{1 / compiled:,.0f} steps/s, {plain / compiled:.1f} times Lightning")


if __name__ == "__main__":
    main(sys.argv[1], "--quick" in sys.argv)
