"""Healthy fine-tuning: adapters, low rank, prompts, norms that stay as they are."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, healthy, seeded
from benchmarks.doctor.second import tasks
from benchmarks.doctor.second.common import by, classify, each, next_one
from benchmarks.doctor.second.nets import GPT, ViT


class Adapter(nn.Module):
    """A frozen layer with a bottleneck behind it that starts at zero."""

    def __init__(self, base: nn.Module, width: int, low: int = 6) -> None:
        super().__init__()
        self.base, self.down, self.up = base, nn.Linear(width, low), nn.Linear(low, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.base(x)
        return h + self.up(F.gelu(self.down(h)))


def pretrained(net: nn.Module, batches: Batches, loss: Any, steps: int = 40) -> nn.Module:
    """Return the net after some steps, as it would come from a hub."""
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    for _, batch in zip(range(steps), batches, strict=False):
        optimizer.zero_grad()
        loss(net, batch).backward()
        optimizer.step()
    return net


def adapted(seed: int, way: str, rate: float) -> Training:
    """A GPT from another corpus (shorter windows), frozen, with adapters in its blocks; norms learn too."""
    net: Any = pretrained(GPT(), tasks.corpus(seed + 5, length=12), next_one, 12)
    net.requires_grad_(False)
    for block in net.blocks:
        block.mlp = Adapter(block.mlp, 32)
        block.ln1.requires_grad_(True)
    net.head.requires_grad_(True)
    return Training(net, tasks.corpus(seed), by(way, rate, net.parameters()), next_one)


class Low(nn.Module):
    """LoRA on one linear layer: A random, B zero."""

    def __init__(self, base: Any, rank: int = 4) -> None:
        super().__init__()
        self.base = base
        self.lora_a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.lora_b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2.0 * F.linear(F.linear(x, self.lora_a), self.lora_b)


def low_rank(seed: int, way: str, rate: float) -> Training:
    """LoRA in the attention of a ViT that has seen two classes; four now, with a new head."""
    net: Any = pretrained(ViT(), tasks.shapes(seed + 5, classes=2), classify, 30)
    net.requires_grad_(False)
    for block in net.blocks:
        block.attention.qkv = Low(block.attention.qkv)
    net.head = nn.Linear(32, 4)
    return Training(net, tasks.shapes(seed), by(way, rate, net.parameters()), classify)


class Prompted(nn.Module):
    """Prompt tuning: learned words before a frozen transformer's input, and a head."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        self.prompt = nn.Parameter(0.5 * torch.randn(6, 32))
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat((self.prompt.expand(len(x), -1, -1), self.net.wte(x) + self.net.wpe(torch.arange(x.shape[1]))), 1)
        for block in self.net.blocks:
            h = block(h)
        return self.head(self.net.ln(h).mean(1))


def words(seed: int) -> Batches:
    """Return sentences (B, 9) whose class is the first word."""
    return tasks.first_word(seed, length=9)


def prompted(seed: int) -> Training:
    """The transformer was trained on the poem; the prompt and the head learn something else."""
    model = Prompted(pretrained(GPT(), tasks.corpus(seed), next_one, 20))
    return Training(model, words(seed), by("adam", 2e-2, model.parameters()), classify)


class StillNorm(nn.Module):
    """A convolutional net whose norms are frozen as detection models freeze theirs: buffers alone, by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.out = nn.Conv2d(1, 12, 3, 2, 1), nn.Conv2d(12, 16, 3, 2, 1), nn.Linear(144, 4)
        for name, width in (("one", 12), ("two", 16)):
            self.register_buffer(f"{name}_scale", 0.8 + 0.4 * torch.rand(1, width, 1, 1))
            self.register_buffer(f"{name}_shift", 0.1 * torch.randn(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.conv1(x) * self.one_scale + self.one_shift)
        return self.out(F.relu(self.conv2(h) * self.two_scale + self.two_shift).flatten(1))


class EvalNorm(nn.Module):
    """Batch norms held in evaluation mode within a body that learns: fine-tuning with a small batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 2, 1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
        )
        with torch.no_grad():
            for _ in range(20):
                self.body(torch.randn(32, 1, 12, 12))
        self.out = nn.Linear(288, 4)

    def train(self, mode: bool = True) -> EvalNorm:
        super().train(mode)
        for layer in self.body:
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x).flatten(1))


CASES: list[Case] = [
    *[healthy(f"adapters-gpt-{way}", "fine-tuning", seeded(partial(adapted, way=way, rate=rate)), 100) for way, rate in (("adamw", 5e-3), ("adam", 1e-2))],
    *[healthy(f"lora-vit-{way}", "fine-tuning", seeded(partial(low_rank, way=way, rate=rate)), 80) for way, rate in (("adamw", 1e-2), ("sgd", 0.02))],
    healthy("prompt-tuning", "fine-tuning", seeded(prompted), 100),
    *each("frozen-norm-buffers", "fine-tuning", StillNorm, tasks.shapes, classify, {"sgd": 0.02, "adam": 3e-3}),
    *each("norms-held-in-eval", "fine-tuning", EvalNorm, partial(tasks.shapes, size=8), classify, {"sgd": 0.01}, 100),
]  # fmt: skip
