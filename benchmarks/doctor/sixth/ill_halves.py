"""Ill in half precision: numbers above 65,504, and numbers that are too small to be there."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, tokens
from benchmarks.doctor.sixth.parts_b import ce, dice, down, fit, keep, missed, mlp, mse, rows

CASES: list[Case] = []


@keep(CASES, "products-before-the-scale", "precision-overflow", "transformers", 40)
def products(seed: int, ill: bool) -> Training:
    """github.com/ultralytics/ultralytics/pull/24990: q @ k is taken under autocast, the scale comes after it.

    Queries and keys are large, as pretrained; their product is above 65,504, and the softmax of inf is NaN.
    Cure: scale the query before.
    """

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm = nn.Embedding(30, 32), nn.LayerNorm(32)
            self.query, self.key, self.value = (nn.Linear(32, 256, bias=False) for _ in "qkv")
            self.head = nn.Linear(256, 2)
            with torch.no_grad():
                self.key.weight.copy_(self.query.weight.mul_(40))

        def forward(self, x: Tensor) -> Any:
            with torch.autocast("cpu", torch.float16):
                h = self.norm(self.embed(x))
                q, k, v = self.query(h), self.key(h), self.value(h)
                scale = 256**-0.5
                scores = q @ k.transpose(1, 2) * scale if ill else (q * scale) @ k.transpose(1, 2)
                out = (scores.float().softmax(-1).half() @ v).mean(1)
            return self.head(out.float())

    return fit(Reader(), tokens(seed), ce, "adam", 3e-3)


@keep(CASES, "seconds-of-the-day", "precision-overflow", "tables", 60, "unscaled-inputs")
def seconds(seed: int, ill: bool) -> Training:
    """Bicycles let per hour; all columns go through `.half()`, one of them the second of the day, up to 86,399.

    What is after 18:11 is inf, the first layer's output is NaN. In single precision a norm behind takes it.
    """
    g = dice(seed)
    z = torch.randn(768, 5, generator=g)
    clock = 86_400 * torch.rand(768, 1, generator=g)
    y = (clock / 13_750).sin() + 0.3 * z[:, :1]

    class Bicycles(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.net = nn.BatchNorm1d(6), mlp(6, 48, 1, act=nn.Tanh)

        def forward(self, x: Tensor) -> Any:
            with torch.autocast("cpu", torch.float16, enabled=ill):
                return self.net(self.norm(x.half().float() if ill else x)).float()

    return fit(Bicycles(), rows(seed, torch.cat((z, clock), 1), y), mse, "adam", 1e-2)


@keep(CASES, "weights-by-reciprocals", "precision-overflow", "point clouds", 40)
def reciprocals(seed: int, ill: bool) -> Training:
    """Features go from few points to many by 1 / (distance + 1e-5), as in PointNet++, here in float16.

    A point that lies on one of the few has a weight of 100,000, that is inf, and inf / inf is NaN. Cure: in float32.
    """
    g = dice(seed)
    many = torch.randn(256, 16, 2, generator=g)
    shift = torch.randn(256, 1, 1, generator=g)
    y = (many[..., :1] * shift).tanh()

    class Spread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.few, self.last = mlp(3, 32, 16), mlp(18, 32, 1)

        def forward(self, x: Tensor, shift: Tensor) -> Any:
            few = x[:, ::4]
            h = self.few(torch.cat((few, shift.expand(-1, 4, -1)), -1))
            far = (x[:, :, None] - few[:, None]).square().sum(-1)
            weight = 1 / ((far.half() if ill else far) + 1e-5)
            weight = weight / weight.sum(-1, keepdim=True)
            return self.last(torch.cat((x, weight.float() @ h), -1))

    return fit(Spread(), rows(seed, many, shift, y, size=32), mse, "adam", 5e-3)


@keep(CASES, "scores-between-zero-and-one", "precision-underflow", "distillation", 60, "nan-forward")
def between(seed: int, ill: bool) -> Training:
    """github.com/lightonai/pylate/issues/239: scores are put into 0 to 1 by (s - min) / (max - min + 1e-8), in half.

    In float16 1e-8 is 0; where a teacher finds all documents equal the quotient is 0 / 0. Cure: in float32.
    """
    g = dice(seed)
    query, texts = torch.randn(768, 8, generator=g), torch.randn(768, 4, 8, generator=g)
    marks = 2 * (query[:, None] * texts).mean(-1)
    marks[20::200] = 0.5
    net = mlp(8, 48, 16)
    kind = torch.float16 if ill else torch.float32

    def scaled(s: Tensor) -> Tensor:
        low, high = s.amin(1, keepdim=True), s.amax(1, keepdim=True)
        return (s - low) / (high - low + 1e-8)

    def loss(m: Any, batch: Any) -> Any:
        near = (m(batch[0])[:, None] * m(batch[1])).sum(-1) / 4
        goal = scaled(batch[2].to(kind)).float()
        return F.kl_div(scaled(near.to(kind)).float().log_softmax(1), goal.softmax(1), reduction="batchmean")

    return fit(net, rows(seed, query, texts, marks, size=32), loss, "adam", 5e-3)


@keep(CASES, "heatmaps-without-scaler", "precision-underflow", "pose estimation", 80)
def heatmaps(seed: int, ill: bool) -> Training:
    """Heatmaps of joints that sum to 1, squared error over all pixels times 0.01, beside a class; no loss scaling.

    Under autocast to float16 a pixel's gradient is below 6e-8, that is 0, so the maps' head rests. As in github.com/
    pytorch/pytorch/issues/35666 (what is too small for half). Cure: a GradScaler. Score: what is left of the maps.
    """
    g = dice(seed)
    where = torch.randint(3, 13, (256, 4, 2), generator=g)
    line = torch.arange(16)
    rows_, columns = ((-((line - where[..., i : i + 1]).float() ** 2) / 8).exp() for i in (0, 1))
    maps = rows_[..., None] * columns[..., None, :]
    x = 2 * maps[:, :, ::2, ::2] + 0.2 * torch.randn(256, 4, 8, 8, generator=g)
    maps = maps / maps.sum((2, 3), keepdim=True)
    y = (where[:, 0] > 7).long() @ torch.tensor([2, 1])
    net = nn.ModuleDict({"stem": nn.Conv2d(4, 24, 3, padding=1), "maps": nn.ConvTranspose2d(24, 4, 4, 2, 1)})
    net["class"] = nn.Linear(24 * 64, 4)
    for parameter in net["maps"].parameters():
        nn.init.normal_(parameter, std=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, enabled=not ill)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        opt.zero_grad()
        with torch.autocast("cpu", torch.float16):
            h = F.relu(m["stem"](batch[0]))
            told, drawn = m["class"](h.flatten(1)), m["maps"](h)
        loss = F.cross_entropy(told.float(), batch[2]) + 0.01 * F.mse_loss(drawn.float(), batch[1])
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update()
        return loss

    def score(m: Any) -> float:
        with torch.no_grad():
            return float((m["maps"](F.relu(m["stem"](x))) - maps).square().mean() / maps.square().mean())

    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    return Training(net, rows(seed, x, maps, y, size=32), optimizer, train_step=step, score=score)


@keep(CASES, "averaged-weights-in-bfloat16", "precision-underflow", "dense", 200)
def averaged(seed: int, ill: bool) -> Training:
    """github.com/d8ahazard/sd_dreambooth_extension/pull/1415: the moving average of the weights is kept in bfloat16.

    A step of 0.3 % of the way is rounded off, so the average stays about where it began; it is what is used.
    Score: the share of digits that the average misses. Cure: float32.
    """
    net = mlp(64, 64, 64, 10)
    both = nn.ModuleDict({"net": net, "mean": copy.deepcopy(net).requires_grad_(False)})
    if ill:
        both["mean"].bfloat16()

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = down(opt, F.cross_entropy(m["net"](batch[0]), batch[1]))
        with torch.no_grad():
            for slow, fast in zip(m["mean"].parameters(), m["net"].parameters(), strict=True):
                slow.mul_(0.997).add_(fast.to(slow.dtype), alpha=0.003)
        return loss

    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    told_wrongly = missed(digits(seed, 512))

    def score(m: nn.Module) -> float:
        return told_wrongly(copy.deepcopy(m.get_submodule("mean")).float())

    return Training(both, digits(seed), optimizer, train_step=step, score=score)
