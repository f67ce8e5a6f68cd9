"""`python -m benchmarks.devicecheck.same DEVICE`: the numbers of the processor, alone as among others, every time."""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cases import NUM_CLASSES, SHAPE, arm
from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model

ARMS = {
    "MLP depth 20, BatchNorm": arm("mlp", 20, norm="batch"),
    "MLP depth 50, residual": arm("mlp", 50, norm="batch", model={"kind": "mlp", "depth": 50, "residual": True}),
    "CNN depth 10": arm("cnn", 10, 8),
}


def gradients(config: ArmConfig, seeds: list[int], of: int, device: str) -> list[Tensor]:
    """Return the gradients of one seed's network, trained beside others, on the processor in double precision."""
    model: nn.Module = build_model(config.model, SHAPE, NUM_CLASSES, seeds).to(device)
    g = torch.Generator().manual_seed(0)
    images = torch.randn(32, *SHAPE, generator=g).to(device)
    labels = torch.randint(NUM_CLASSES, (32,), generator=g).to(device)
    logits = model(images.expand(len(seeds), *images.shape))
    sum(F.cross_entropy(each, labels) for each in logits).backward()  # type: ignore[union-attr]
    place = seeds.index(of)
    found = [each.grad for each in model.parameters() if each.grad is not None]
    return [each.reshape(len(seeds), -1)[place].double().cpu() for each in found]


def apart(one: list[Tensor], other: list[Tensor]) -> float:
    """Return the largest distance of two lists of tensors, relative to their size."""
    pairs = zip(one, other, strict=True)
    return max(float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in pairs)


def main(device: str) -> None:
    """Print what differs, by network."""
    torch.backends.cudnn.deterministic = True
    for name, config in ARMS.items():
        here = gradients(config, [0, 1, 2, 7], 7, device)
        again = gradients(config, [0, 1, 2, 7], 7, device)
        alone = gradients(config, [7], 7, device)
        there = gradients(config, [0, 1, 2, 7], 7, "cpu")
        equal = all(torch.equal(a, b) for a, b in zip(here, again, strict=True))
        print(f"{name}: twice\t{'the same bits' if equal else f'{apart(here, again):.1e} apart'}")
        print(f"{name}: alone, among others\t{apart(alone, here):.1e} apart")
        print(f"{name}: here, on the processor\t{apart(here, there):.1e} apart")


if __name__ == "__main__":
    main(sys.argv[1])
