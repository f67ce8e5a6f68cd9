"""Ill in sixteen bits: what they cannot hold, above and below. From reports where one is named."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import by, classify, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_nets import hourglass
from benchmarks.doctor.third.ill_numbers import trained
from benchmarks.doctor.third.pool import take
from benchmarks.doctor.third.tasks import Do, Net


def half_overflow(seed: int, ill: bool, kind: str) -> Training:
    """Above 65,504. Cured: the same in float32, or bfloat16."""
    dtype = torch.float16 if ill else torch.float32
    if kind == "rms-by-hand":  # the square of what a residual stream holds, before its root

        def rms(m: Any, x: Tensor) -> Tensor:
            h = (900 * m.one(x)).to(dtype)
            return m.out(F.gelu((h * torch.rsqrt(m.square(h).mean(1, keepdim=True) + 1e-5)).float()))

        return trained(
            Net(rms, one=nn.Linear(2, 48), square=Do(torch.square), out=nn.Linear(48, 3)),
            tasks.spirals(seed),
            rate=1e-2,
        )
    if kind == "inputs-cast":  # readings of a sensor, cast before they are scaled
        return take(
            seed,
            "separable",
            net=lambda: Net(
                lambda m, x: m.net((((6e4 + 1e4 * x).to(dtype) - 6e4) / 1e4).float()),
                net=mlp(48, 4, 48, 1).append(nn.Identity()),
            ),
            make=lambda s: Batches(((b := tasks.motifs(s)).tensors[0][:, 0], b.tensors[1]), 32, s),
        )
    if kind == "sum":  # the root of a sum of squares, in half: while the sum is infinite, the root has no slope

        def summed(model: nn.Module, batch: Any) -> Tensor:
            return (60 * (model(batch[0]).to(dtype) - batch[1].to(dtype))).square().sum().sqrt().float() / 480

        return take(seed, "table", loss=summed)
    if kind == "static-scale":  # a fixed scale of the loss, as before there were scalers

        def scaled(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
            optimizer.zero_grad()
            loss = classify(model, batch).to(dtype) * 2.0**17
            loss.backward()
            for p in model.parameters():
                p.grad /= 2.0**17
            optimizer.step()
            return loss.float() / 2.0**17

        training = take(seed, "arms")
        return Training(training.model, training.batches, training.optimizer, train_step=scaled)

    def causal(m: Any, x: Tensor) -> Tensor:  # "linear-attention": sums over time that nobody divides, before a norm
        with torch.autocast("cpu", torch.float16 if ill else torch.bfloat16):
            q, k, v = m.qkv(90 * x).chunk(3, 2)
            h = F.relu(q) @ (F.relu(k).transpose(1, 2) @ v)
        return m.out(m.norm(h.float()).mean(1))

    return trained(
        Net(causal, qkv=nn.Linear(1, 48), norm=nn.LayerNorm(16), out=nn.Linear(16, 1)),
        tasks.handfuls(seed),
        squared,
        1e-3,
    )


def half_underflow(seed: int, ill: bool, kind: str) -> Training:
    """Too small for sixteen bits (or thirty-two). `adam`: github.com/afiaka87/glide-finetune/issues/5."""
    dtype = torch.float16 if ill else torch.float32
    if kind == "adam":
        net: nn.Module = mlp(2, 3, 48, 2).to(dtype)
        return Training(
            net,
            tasks.spirals(seed),
            torch.optim.Adam(net.parameters(), 1e-3),
            lambda m, b: F.cross_entropy(m(b[0].to(dtype)).float(), b[1]),
        )
    if kind == "weighed":  # a loss with a small weight, without a scaler

        def light(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16, enabled=ill):
                out = model(batch[0])
            loss = F.binary_cross_entropy_with_logits(out.float(), batch[1])
            (1e-5 * loss).backward()
            optimizer.step()
            return loss

        net = hourglass()
        return Training(net, tasks.discs(seed), torch.optim.Adam(net.parameters(), 5e-3, eps=1e-14), train_step=light)
    if kind == "small-errors":  # squares of errors of a ten-thousandth

        def small(model: nn.Module, batch: Any) -> Tensor:
            return ((model(batch[0]) - batch[1]).to(dtype) * 1e-4).square().mean().float() * 1e8

        return take(seed, "table", loss=small)

    def paths(m: Any, x: Tensor, y: Tensor) -> Tensor:  # "paths": a CRF in chances, not in logarithms
        score, move = m.out(m.core(m.embed(x))[0]).softmax(2) * 0.05, m.move.softmax(1)
        if not ill:
            score, move = score.log(), move.log()
        every, told = score[:, 0], score[:, 0].gather(1, y[:, :1])[:, 0]
        for n in range(1, x.shape[1]):
            last = move[y[:, n - 1], y[:, n]]
            here = score[:, n].gather(1, y[:, n : n + 1])[:, 0]
            told = told * last * here if ill else told + last + here
            every = (
                (every[:, :, None] * move).sum(1) * score[:, n]
                if ill
                else torch.logsumexp(every[:, :, None] + move, 1) + score[:, n]
            )
        # float32 ends near 1e-45; what is zero is counted as that
        return (
            ((every.sum(1) + 1e-45).log() - (told + 1e-45).log()).mean()
            if ill
            else (torch.logsumexp(every, 1) - told).mean()
        )

    net = Net(
        paths,
        embed=nn.Embedding(2, 8),
        core=nn.GRU(8, 16, batch_first=True),
        out=nn.Linear(16, 4),
        move=nn.Parameter(torch.zeros(4, 4)),
    )
    batches = tasks.brackets(seed, length=40)

    def score(model: Any) -> float:
        x, y = next(iter(batches))
        return float((model.out(model.core(model.embed(x))[0]).argmax(2) != y).float().mean())

    return Training(net, batches, by("adam", 1e-2, net.parameters()), lambda m, b: m(*b), score=score)


CASES: list[Case] = [
    *[ill(f"third-{kind}", "precision-overflow", family, partial(half_overflow, kind=kind), 30, also) for kind, family, also in (
        ("rms-by-hand", "sixteen bits", ""), ("inputs-cast", "sixteen bits", "unscaled-inputs"), ("sum", "sixteen bits", ""), ("static-scale", "sixteen bits", ""), ("linear-attention", "sixteen bits", ""))],
    *[ill(f"third-{kind}", "precision-underflow", family, partial(half_underflow, kind=kind), steps, also) for kind, family, steps, also in (
        ("adam", "sixteen bits", 60, "nan-forward precision-overflow overflow-forward"), ("weighed", "sixteen bits", 60, ""), ("small-errors", "sixteen bits", 60, ""), ("paths", "recurrent", 60, ""))],
]  # fmt: skip
