"""Healthy: likeness, distance, teachers: losses that hover, rise or begin very high."""
# ruff: noqa: E501 - an address is a line

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.sixth.nets_c import Angles, Back, Online, Student, Two
from benchmarks.doctor.sixth.parts_c import (
    adam,
    adamw,
    ce,
    dense,
    dice,
    down,
    follow,
    handwriting,
    keeper,
    rows,
    sgd,
    table,
)

CASES: list[Case] = []
learns = keeper(CASES)


def shaken(x: Tensor, much: float = 0.5) -> Tensor:
    """Return another view of rows: some numbers are dropped, some noise is added."""
    return x * (torch.rand_like(x) > 0.2) + much * torch.randn_like(x)


def astray(seed: int, code: Any, alone: bool = False) -> float:
    """Return how many shaken digits lie, in the code, nearest to a clean one of another class, or to another one."""
    x, y = next(iter(digits(seed + 99, 512)))
    noise = 0.7 * torch.randn(x.shape, generator=dice(seed))
    with torch.no_grad():
        near = (F.normalize(code(x + noise), dim=1) @ F.normalize(code(x), dim=1).T).argmax(1)
    return float((near != torch.arange(512) if alone else y[near] != y).float().mean())


@learns("triplets-batch-all", "metrics", 150, falls=False)
def triplets(seed: int) -> Training:
    """The mean over those that still cost hovers at the margin (github.com/omoindrot/tensorflow-triplet-loss/issues/6)."""
    net = dense(64, 128, 16)

    def loss(model: nn.Module, batch: Any) -> Any:
        x, y = batch
        z = F.normalize(model(x), dim=1)
        far = (2 - 2 * z @ z.T).clamp_min(0)
        same = y[:, None] == y[None]
        cost = F.relu(far[:, :, None] - far[:, None, :] + 0.5)
        cost = cost * (same & ~torch.eye(len(x)).bool())[:, :, None] * ~same[:, None, :]
        return cost.sum() / (cost > 1e-16).sum().clamp_min(1)

    def score(model: nn.Module) -> float:
        x, y = next(iter(digits(seed + 99, 256)))
        with torch.no_grad():
            z = F.normalize(model(x), dim=1)
        far, same = 2 - 2 * z @ z.T, y[:, None] == y[None]
        return float(far[same].mean() / far[~same].mean())

    return Training(net, digits(seed), adam(net), loss, score=score)


@learns("angles-with-margin", "metrics", 150)
def angles(seed: int) -> Training:
    """ArcFace begins near twenty, with nothing right (github.com/heshuting555/AICITY2020_DMT_VehicleReID/issues/3)."""
    net = Angles()
    return Training(net, digits(seed), sgd(net, 0.02, 0.9, weight_decay=5e-4), lambda m, b: m(*b))


@learns("prototypes-in-episodes", "few shots", 120)
def prototypes(seed: int) -> Training:
    """Episodes of five classes: each is another task, and the loss jumps from one to the next."""
    x, y = handwriting()
    by_class = [x[y == k] for k in range(10)]
    net = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Conv2d(24, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten())  # fmt: skip

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        chosen = torch.randperm(10)[:5]
        picked = torch.stack([by_class[k][torch.randperm(len(by_class[k]))[:9]] for k in chosen.tolist()])
        z = model(picked.flatten(0, 1)).view(5, 9, -1)
        far = torch.cdist(z[:, 3:].flatten(0, 1), z[:, :3].mean(1)).square()
        return down(optimizer, F.cross_entropy(-far, torch.arange(5).repeat_interleave(6)))

    return Training(net, rows(seed, y, size=1), adam(net, 1e-3), train_step=step)


@learns("queue-of-negatives", "self-supervised", 150, falls=False)
def queue(seed: int) -> Training:
    """MoCo: the loss rises while the queue fills with ever better strangers, then falls."""
    net = nn.ModuleDict({"q": dense(64, 128, 32)})
    slow = copy.deepcopy(net["q"]).requires_grad_(False)
    others = F.normalize(torch.randn(512, 32), dim=1)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        nonlocal others
        q = F.normalize(model["q"](shaken(batch[0])), dim=1)
        with torch.no_grad():
            follow(slow, model["q"], 0.95)
            k = F.normalize(slow(shaken(batch[0])), dim=1)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ others.T], 1) / 0.2
        loss = down(optimizer, F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long)))
        others = torch.cat([k, others])[:512]
        return loss

    return Training(
        net, digits(seed), sgd(net, 0.1, 0.9), train_step=step, score=lambda m: astray(seed, net["q"], True)
    )


@learns("self-distillation-centred", "self-supervised", 150, falls=False)
def dino(seed: int) -> Training:
    """DINO near the logarithm of its prototypes; its loss need not fall (github.com/facebookresearch/dino/issues/61)."""
    net = Student()
    teacher = Student().requires_grad_(False)
    teacher.load_state_dict(net.state_dict())
    centre = torch.zeros(64)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        nonlocal centre
        views = [shaken(batch[0]), shaken(batch[0])]
        warm = 0.04 + 0.03 * min(1.0, number / 60)
        with torch.no_grad():
            out = [teacher(v) for v in views]
            wanted = [((t - centre) / warm).softmax(1) for t in out]
        said = [(model(v) / 0.1).log_softmax(1) for v in views]
        loss: Tensor = -0.5 * ((wanted[0] * said[1]).sum(1).mean() + (wanted[1] * said[0]).sum(1).mean())
        down(optimizer, loss)
        follow(teacher, model, 0.97)
        centre = 0.9 * centre + 0.1 * torch.cat(out).mean(0)
        return loss

    return Training(
        net, digits(seed), adamw(net, 1e-3, weight_decay=0.04), train_step=step, score=lambda m: astray(seed, m)
    )


@learns("variance-and-covariance", "self-supervised", 120)
def vicreg(seed: int) -> Training:
    """VICReg: the covariance's part rises all the while (github.com/facebookresearch/vicreg/issues/14)."""
    net = dense(64, 128, 64)

    def loss(model: nn.Module, batch: Any) -> Any:
        a, b = model(shaken(batch[0], 0.3)), model(shaken(batch[0], 0.3))
        total = 25 * F.mse_loss(a, b)
        for z in (a, b):
            total = total + 25 * F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()
            c = (z - z.mean(0)).T @ (z - z.mean(0)) / (len(z) - 1)
            total = total + (c - torch.diag(c.diag())).square().sum() / 64
        return total

    return Training(net, digits(seed), adam(net, 1e-3), loss)


@learns("own-past-as-teacher", "self-supervised", 120)
def byol(seed: int) -> Training:
    """BYOL: no strangers; one side has no gradient, on purpose (github.com/lucidrains/byol-pytorch/issues/39)."""
    net = Online()
    target = copy.deepcopy(net.encoder).requires_grad_(False)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        a, b = shaken(batch[0]), shaken(batch[0])
        with torch.no_grad():
            ta, tb = target(a), target(b)
        loss: Tensor = 2 - F.cosine_similarity(model(a), tb).mean() - F.cosine_similarity(model(b), ta).mean()
        down(optimizer, loss)
        follow(target, model.encoder, 1 - 0.04 * (math.cos(math.pi * number / 120) + 1) / 2)
        return loss

    return Training(net, digits(seed), adam(net, 3e-3), train_step=step)


@learns("pictures-and-words", "contrastive", 120)
def clip(seed: int) -> Training:
    """CLIP: of 32 pairs many show the same digit, so the loss stays far above zero."""
    x, y = digits(seed).tensors
    words = 4 * y[:, None] + torch.randint(0, 4, (len(y), 5), generator=dice(seed))
    net = Two()
    return Training(net, rows(seed, x, words, size=32), adamw(net, 2e-3, weight_decay=0.1), lambda m, b: m(*b))


@learns("soft-targets-of-a-teacher", "distillation", 120)
def distilled(seed: int) -> Training:
    """A trained teacher at temperature four: the gradient is divided, and multiplied again by sixteen."""
    teacher, net = dense(64, 128, 10), dense(64, 24, 10)
    optimizer = adam(teacher, 5e-3)
    for _, batch in zip(range(80), digits(seed + 1), strict=False):
        down(optimizer, ce(teacher, batch))
    teacher.requires_grad_(False)

    def loss(model: nn.Module, batch: Any) -> Any:
        out = model(batch[0])
        soft = F.kl_div(
            (out / 4).log_softmax(1), (teacher(batch[0]) / 4).log_softmax(1), reduction="batchmean", log_target=True
        )
        return 0.9 * 16 * soft + 0.1 * F.cross_entropy(out, batch[1])

    return Training(net, digits(seed), adam(net, 3e-3), loss)


@learns("few-labels-sure-guesses", "semi-supervised", 150)
def fix_match(seed: int) -> Training:
    """FixMatch: at first no guess is sure enough and half of the loss is exactly zero; then it comes and goes."""
    x, y = digits(seed).tensors
    few = torch.randperm(len(x), generator=dice(seed))[:100]
    net = dense(64, 128, 10)

    def loss(model: nn.Module, batch: Any) -> Any:
        some = few[torch.randint(0, 100, (32,))]
        known = F.cross_entropy(model(shaken(x[some], 0.1)), y[some])
        with torch.no_grad():
            sure, guess = model(shaken(batch[0], 0.1)).softmax(1).max(1)
        rest = F.cross_entropy(model(shaken(batch[0], 0.6)), guess, reduction="none")
        return known + (rest * (sure > 0.95)).mean()

    return Training(net, rows(seed, x, size=96), sgd(net, 0.05, 0.9, nesterov=True), loss)


@learns("twins-of-columns", "self-supervised", 120)
def barlow(seed: int) -> Training:
    """Barlow twins of rows of a table: a sum of squares, not a mean, and it ends far above zero."""
    x, _ = table("breast_cancer")
    net = nn.Sequential(nn.Linear(30, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))

    def loss(model: nn.Module, batch: Any) -> Any:
        a, b = (model(shaken(batch[0], 0.2)) for _ in range(2))
        c = ((a - a.mean(0)) / (a.std(0) + 1e-5)).T @ ((b - b.mean(0)) / (b.std(0) + 1e-5)) / len(a)
        on = torch.diagonal(c)
        return (1 - on).square().sum() + 0.05 * (c.square().sum() - on.square().sum())

    return Training(net, rows(seed, x, size=128), adamw(net, 3e-3), loss)


@learns("two-domains-gradient-reversed", "games", 200, falls=False)
def domains(seed: int) -> Training:
    """The domain's part of the loss stays about ln 2 on purpose: the features shall not tell where they are from."""
    x, y = digits(seed).tensors
    there = x.flip(0) @ torch.linalg.qr(torch.eye(64) + 0.05 * torch.randn(64, 64, generator=dice(seed)))[0]
    net: Any = nn.ModuleDict(
        {"body": nn.Sequential(dense(64, 64, 32), nn.LayerNorm(32)), "digit": dense(32, 10), "where": dense(32, 32, 1)}
    )

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        here, y, other = batch
        h = model["body"](torch.cat([here, other]))
        where = model["where"](Back.apply(h))[:, 0]
        told = F.binary_cross_entropy_with_logits(where, (torch.arange(len(h)) < len(here)).float())
        return down(optimizer, F.cross_entropy(model["digit"](h[: len(here)]), y) + told)

    def score(model: Any) -> float:
        with torch.no_grad():
            return float((model["digit"](model["body"](x)).argmax(1) != y).float().mean())

    slow = [*net["body"].parameters(), *net["digit"].parameters()]
    groups = [{"params": slow}, {"params": net["where"].parameters(), "lr": 5e-3}]
    two = torch.optim.Adam(groups, 1e-3, betas=(0.5, 0.9))
    return Training(net, rows(seed, x, y, there), two, train_step=step, score=score)


@learns("signatures-in-pairs", "metrics", 150)
def pairs(seed: int) -> Training:
    """Siamese twins: unlike pairs that are farther apart than the margin give no gradient, and soon most are."""
    x, y = digits(seed).tensors
    net = dense(64, 96, 16, act=nn.Tanh)

    def loss(model: nn.Module, batch: Any) -> Any:
        z, half = model(batch[0]), len(batch[0]) // 2
        far = F.pairwise_distance(z[:half], z[half:])
        alike = batch[1][:half] == batch[1][half:]
        return torch.where(alike, far.square(), F.relu(2.0 - far).square()).mean()

    return Training(net, rows(seed, x, y, size=128), sgd(net, 0.05, 0.9), loss)
