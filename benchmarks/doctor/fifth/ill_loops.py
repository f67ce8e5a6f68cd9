"""Ill in the loop: gradients of other steps, frozen statistics that move, batches too small for their norm."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits, discs, pictures, progressions, teacher
from benchmarks.doctor.fifth.ill_parts import ce, dice, fit, keep, mlp, mse, rows

CASES: list[Case] = []


@keep(CASES, "asked-in-2023", "stale-gradients", "convolutional", 120)
def asked(seed: int, ill: bool) -> Training:
    """github.com/Miraclelucy/dive_into_deep_learning/issues/6: without zero_grad "accuracy falls to 10 %"."""
    net = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(256, 10),
    )  # fmt: skip

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = F.cross_entropy(m(batch[0]), batch[1])
        if not ill:
            opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(net, digits(seed), torch.optim.SGD(net.parameters(), 0.05), train_step=step)


@keep(CASES, "cleared-every-eighth", "stale-gradients", "text", 120)
def eighth(seed: int, ill: bool) -> Training:
    """Accumulation half taken out: step() now comes after each batch, zero_grad() still after each eighth."""

    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru, self.head = nn.Embedding(40, 24), nn.GRU(24, 32, batch_first=True), nn.Linear(32, 40)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.gru(self.embed(x))[0])

    net = Language()

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        loss = ce(m, (batch[0][:, :-1], batch[0][:, 1:]))
        loss.backward()
        opt.step()
        if not ill or (i + 1) % 8 == 0:
            opt.zero_grad()
        return loss

    return Training(net, progressions(seed), torch.optim.SGD(net.parameters(), 0.5, momentum=0.9), train_step=step)


@keep(CASES, "two-optimisers-one-cleared", "stale-gradients", "fine-tuning", 150)
def one_cleared(seed: int, ill: bool) -> Training:
    """Body and head have an optimiser each; both step, and zero_grad is called on the head's alone.

    After github.com/Lightning-AI/pytorch-lightning/issues/15045, which asks whether this happens there.
    """
    net = nn.ModuleDict({"body": mlp(8, 32, 32), "head": nn.Linear(32, 1)})
    body = torch.optim.SGD(net["body"].parameters(), 0.1, momentum=0.9)
    head = torch.optim.SGD(net["head"].parameters(), 0.03, momentum=0.9)

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        loss = F.mse_loss(m["head"](torch.tanh(m["body"](batch[0]))), batch[1])
        opts[1].zero_grad()
        if not ill:
            opts[0].zero_grad()
        loss.backward()
        opts[0].step()
        opts[1].step()
        return loss

    return Training(net, teacher(seed), [body, head], train_step=step)


def known(part: nn.Module, x: Tensor) -> None:
    """Let a part's norms get to know some data; then freeze its parameters, and its mode for now."""
    with torch.no_grad():
        for _ in range(60):
            part.train()(x + 0.3 * torch.randn_like(x))
    part.requires_grad_(False).eval()


@keep(CASES, "loss-net-not-in-eval", "frozen-buffers-move", "autoencoders", 40)
def perceptual(seed: int, ill: bool) -> Training:
    """A perceptual loss by a frozen net with batch norms; it hangs on the module, so model.train() reaches it."""

    class Coder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(64, 24, 64)
            self.eye = nn.Sequential(
                nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)
            )

        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            if not ill:
                self.eye.eval()
            return self

    net = Coder()
    data = digits(seed)
    known(net.eye, data.tensors[0][:256] * 1.3 + 0.2)

    def loss(m: Any, batch: Any) -> Any:
        out = m.net(batch[0])
        return F.mse_loss(out, batch[0]) + 0.5 * F.mse_loss(m.eye(out), m.eye(batch[0]))

    return fit(net, data, loss, "adam", 3e-3)


@keep(CASES, "backbone-deactivated", "frozen-buffers-move", "contrastive", 40)
def deactivated(seed: int, ill: bool) -> Training:
    """github.com/lightly-ai/lightly/issues/1438: requires_grad is off, the running means of the backbone go on.

    Only a new projection is trained, by InfoNCE of two views.
    """
    net = nn.ModuleDict(
        {
            "backbone": nn.Sequential(
                nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 32), nn.BatchNorm1d(32)
            ),
            "project": mlp(32, 32, 16),
        }
    )
    data = digits(seed)
    known(net["backbone"], 0.8 * data.tensors[0][:300])

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        m.train()
        if not ill:
            m["backbone"].eval()
        one, two = (
            F.normalize(m["project"](m["backbone"](batch[0] + 0.4 * torch.randn_like(batch[0]))), dim=1) for _ in "12"
        )
        loss = F.cross_entropy(one @ two.T / 0.2, torch.arange(len(one)))
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(net, data, torch.optim.Adam(net["project"].parameters(), 3e-3), train_step=step)


@keep(CASES, "target-net-in-training-mode", "frozen-buffers-move", "reinforcement", 60)
def target_net(seed: int, ill: bool) -> Training:
    """After github.com/facebookresearch/unbiased-teacher/issues/47: torch.no_grad() is no eval().

    A Q-network's frozen copy is in training mode, so each batch of next states moves its statistics.
    """

    def made() -> nn.Sequential:
        return nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))

    net = nn.ModuleDict({"q": made(), "target": made()})
    net["target"].load_state_dict(net["q"].state_dict())
    g = dice(seed)
    states = torch.randn(1024, 4, generator=g)
    after = 0.8 * states + 0.4 * torch.randn(1024, 4, generator=g) + 0.3
    acts = torch.randint(0, 3, (1024,), generator=g)
    rewards = (states @ torch.randn(4, 3, generator=g)).gather(1, acts[:, None])[:, 0]
    known(net["target"], states[:128])

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        state, act, reward, then = batch
        m.train()
        if not ill:
            m["target"].eval()
        with torch.no_grad():
            wanted = reward + 0.9 * m["target"](then).max(1).values
        loss = F.smooth_l1_loss(m["q"](state).gather(1, act[:, None])[:, 0], wanted)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    opt = torch.optim.Adam(net["q"].parameters(), 3e-3)
    return Training(net, rows(seed, states, acts, rewards, after, size=32), opt, train_step=step)


@keep(CASES, "two-a-device", "batchnorm-tiny-batch", "detection", 100)
def devices(seed: int, ill: bool) -> Training:
    """github.com/carrierlxk/COSNet/issues/10: a batch of 16 over eight devices; each norm sees two pictures.

    The last block has one pixel a picture left: two values a channel. What is asked is where a disc is.
    """

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(1, 16, 4, 4), nn.ReLU(), nn.Conv2d(16, 48, 4), nn.BatchNorm2d(48), nn.ReLU(), nn.Flatten()
            )
            self.head = nn.Linear(48, 2)

        def forward(self, x: Tensor) -> Any:
            parts = x.split(2) if ill else (x,)
            return self.head(torch.cat([self.body(part) for part in parts]))

    x, mask = discs(seed).tensors
    line = torch.linspace(-2, 2, 16)
    share = mask / mask.sum((2, 3), keepdim=True)
    centre = torch.cat(((share.sum(3) * line).sum(2), (share.sum(2) * line).sum(2)), 1)
    return fit(Net(), rows(seed, x, centre, size=16), mse, "adam", 5e-3)


@keep(CASES, "eight-times-two", "batchnorm-tiny-batch", "convolutional", 60)
def micro(seed: int, ill: bool) -> Training:
    """Memory is short, so a batch of 16 became eight of two with accumulated gradients, "which is the same".

    Not for a batch norm: github.com/giotto-ai/giotto-deep/issues/75. Cure here: a group norm.
    """

    def norm(n: int) -> nn.Module:
        return nn.BatchNorm1d(n) if ill else nn.GroupNorm(4, n)

    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(96, 32), norm(32), nn.ReLU(), nn.Linear(32, 4),
    )  # fmt: skip

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        opt.zero_grad()
        total = torch.zeros(())
        for x, y in zip(batch[0].split(2), batch[1].split(2), strict=True):
            loss = F.cross_entropy(m(x), y) / 8
            loss.backward()
            total = total + loss.detach()
        opt.step()
        return total

    return Training(net, pictures(seed, side=16), torch.optim.Adam(net.parameters(), 3e-3), train_step=step)


@keep(CASES, "three-regions-a-picture", "batchnorm-tiny-batch", "detection", 80)
def regions(seed: int, ill: bool) -> Training:
    """github.com/bubbliiiing/faster-rcnn-pytorch/issues/10: one picture a batch, and a batch norm over its regions.

    Three regions of one picture, all of them like each other, are what the head is standardised by.
    """
    g = dice(seed)
    light = torch.randn(768, 1, 1, generator=g)
    x = light + 0.7 * torch.randn(768, 3, 12, generator=g)
    y = (x.mean(2) > 0).long()
    net = nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))

    def loss(m: Any, batch: Any) -> Any:
        return F.cross_entropy(m(batch[0].flatten(0, 1)), batch[1].flatten())

    return fit(net, rows(seed, x, y, size=1 if ill else 16), loss, "adam", 3e-3)
