"""Ill in their links: gradients that are cut off, and factors that are stuck at zero. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.graphs import RECIPES as GRAPHS
from benchmarks.doctor.fourth.ill_heads import fit
from benchmarks.doctor.fourth.parts import ce, cook, mse
from benchmarks.doctor.fourth.tables import RECIPES as TABLES


class Captioner(nn.Module):
    """A picture's features, taken by a hook, start a GRU that says what is there, in three words."""

    def __init__(self, detach: bool) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU())
        self.kept: list[Tensor] = []
        self.encoder[3].register_forward_hook(
            lambda m, i, o: self.kept.append(o.clone().detach() if detach else o.clone())
        )
        self.words, self.gru, self.out = nn.Embedding(5, 24), nn.GRU(24, 24, batch_first=True), nn.Linear(24, 5)

    def forward(self, x: Tensor, said: Tensor) -> Any:
        self.kept.clear()
        self.encoder(x)
        h = self.kept.pop().amax((2, 3))[None]
        return self.out(self.gru(self.words(said), h)[0])


def captions(seed: int, ill: bool) -> Training:
    """The extractor detaches what it cloned: github.com/lucidrains/CoCa-pytorch/issues/6"""
    x, y = data.scenes(seed).tensors
    said = torch.stack([torch.full_like(y, 4), torch.full_like(y, 3)], 1)
    batches = Batches((x, said, torch.stack([torch.full_like(y, 3), y], 1)), 24, seed)
    return fit(Captioner(ill), batches, lambda m, b: F.cross_entropy(m(b[0], b[1]).flatten(0, 1), b[2].flatten()))


class FilterBank(nn.Module):
    """Learned filters in front of a network that tells speakers apart."""

    def __init__(self, detach: bool) -> None:
        super().__init__()
        self.fbank = nn.Conv1d(6, 16, 9, 3)
        self.embedding_model = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(), nn.Linear(32, 4))
        self.detach = detach

    def forward(self, wav: Tensor) -> Any:
        feats = self.fbank(wav).square().mean(2).add(1e-4).log()
        return self.embedding_model(feats.detach() if self.detach else feats)


def speakers(seed: int, ill: bool) -> Training:
    """enc(feats.detach()): github.com/speechbrain/speechbrain/issues/1396"""
    return fit(FilterBank(ill), data.activity(seed), ce, rate=1e-2)


def drug(seed: int, ill: bool) -> Training:
    """The log chances became numbers on their way into the loss: github.com/isayev/ReLeaSE/issues/39"""
    net: Any = nn.ModuleDict({"policy": nn.Linear(5, 4), "value": nn.Linear(5, 1)})
    best = torch.randn(5, 4)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        s = torch.randn(64, 5)
        log_probs = F.log_softmax(m["policy"](s), 1)
        top_i = torch.multinomial(log_probs.detach().exp(), 1)
        reward = (s @ best).gather(1, top_i)
        chosen = log_probs.gather(1, top_i)
        value = m["value"](s)
        rl_loss = -((chosen.detach() if ill else chosen) * (reward - value.detach())).mean()
        loss = rl_loss + 0.5 * F.mse_loss(value, reward)
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(net, repeat(()), torch.optim.RMSprop(net.parameters(), 1e-2), train_step=step)


class Codes(nn.Module):
    """The nearest of 32 code vectors goes on, without a straight-through gradient."""

    def __init__(self, straight: bool) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(64, 8), nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 64))
        self.codebook = nn.Parameter(torch.randn(32, 8))
        self.straight = straight

    def forward(self, x: Tensor) -> Any:
        z = self.enc(x)
        q = self.codebook[torch.cdist(z, self.codebook).argmin(1)]
        return self.dec(q + z - z.detach() if self.straight else q)


def nearest(seed: int, ill: bool) -> Training:
    """Return the training of `Codes`."""
    return fit(Codes(not ill), digits(seed), lambda m, b: F.mse_loss(m(b[0]), b[0]))


class TopPool(nn.Module):
    """The best scored half of a set is kept; scores have to be multiplied in, or they never learn."""

    def __init__(self, multiply: bool) -> None:
        super().__init__()
        self.phi, self.score, self.out = nn.Linear(4, 24), nn.Linear(24, 1), nn.Linear(24, 1)
        self.multiply = multiply

    def forward(self, pos: Tensor, charge: Tensor) -> Any:
        h = torch.tanh(self.phi(torch.cat([pos, charge], 2)))
        s = self.score(h)
        top = s.topk(3, 1).indices.expand(-1, -1, 24)
        if self.multiply:
            h = h * torch.tanh(s)
        return self.out(h.gather(1, top).sum(1))


def pooled(seed: int, ill: bool) -> Training:
    """Return the training of `TopPool`."""
    return fit(TopPool(not ill), data.bodies(seed), lambda m, b: F.mse_loss(m(b[0], b[1]), b[2]), rate=1e-2)


class FiLM(nn.Module):
    """A category turns and shifts the features; what makes of it a turn and a shift ran under no_grad."""

    def __init__(self, learns: bool) -> None:
        super().__init__()
        self.cond = nn.Embedding(12, 16)
        self.to_film = nn.Linear(16, 64)
        self.body, self.out = nn.Linear(5, 32), nn.Linear(32, 1)
        self.learns = learns

    def forward(self, x: Tensor, c: Tensor) -> Any:
        with torch.set_grad_enabled(self.learns):
            gamma, beta = self.to_film(self.cond(c[:, 2])).chunk(2, 1)
        return self.out(F.silu((1 + gamma) * self.body(x) + beta)).squeeze(1)


def turned(seed: int, ill: bool) -> Training:
    """Return the training of `FiLM`."""
    return fit(
        FiLM(not ill), data.adult(seed), lambda m, b: F.binary_cross_entropy_with_logits(m(b[0], b[1]), b[2]), rate=1e-2
    )


class Glimpse(nn.Module):
    """A network says where to look; the place became an int on its way to the crop, or stays a soft one."""

    def __init__(self, soft: bool) -> None:
        super().__init__()
        self.loc = nn.Sequential(nn.Conv2d(3, 8, 5, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2), nn.Sigmoid())
        self.what = nn.Sequential(nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 1))
        self.soft = soft

    def forward(self, x: Tensor) -> Any:
        where = self.loc(x)
        if self.soft:
            line = torch.linspace(-0.5, 0.5, 8)
            grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1) + (where - 0.5)[:, None, None]
            return self.what(F.grid_sample(x, grid, align_corners=False).flatten(1))
        crops = []
        for img, (r, c) in zip(x, where, strict=True):
            top, left = int(r * 8), int(c * 8)
            crops.append(img[:, top : top + 8, left : left + 8])
        return self.what(torch.stack(crops).flatten(1))


def looked(seed: int, ill: bool) -> Training:
    """Return the training of `Glimpse`."""
    return fit(Glimpse(not ill), data.boxes(seed), lambda m, b: F.mse_loss(m(b[0]), 16 * b[1][:, 2:3]))


class Copied(nn.Module):
    """The second layer was copied from the first, its input too: what the first gave is thrown away."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 6)
        self.wrong = wrong

    def forward(self, x: Tensor) -> Any:
        out = F.relu(self.fc1(x))
        out = F.relu(self.fc2(x if self.wrong else out))
        return self.fc3(out)


def copied(seed: int, ill: bool) -> Training:
    """Return the training of `Copied`."""
    return fit(Copied(ill), data.demand(seed), mse)


def rewrapped(seed: int, ill: bool) -> Training:
    """The losses of the rows are gathered in a new tensor, with requires_grad=True to quieten an error."""

    def loss(m: nn.Module, b: Any) -> Any:
        rows = [F.smooth_l1_loss(m(x[None]), y[None]) for x, y in zip(b[0][:16], b[1][:16], strict=True)]
        return torch.tensor([float(r) for r in rows], requires_grad=True).mean() if ill else torch.stack(rows).mean()

    return cook(TABLES["monotonic"], seed, loss=loss)


class ZeroResidual(nn.Module):
    """Branches with a factor before them (ReZero), whose last layers start at zero too (Fixup)."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.inp, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
        self.branches = nn.ModuleList(
            [nn.Sequential(nn.Linear(32, 48), nn.GELU(), nn.Linear(48, 32)) for _ in range(4)]
        )
        self.alpha = nn.Parameter(torch.zeros(4))
        for branch in self.branches if both else ():
            nn.init.zeros_(branch[2].weight)  # type: ignore[index]
            nn.init.zeros_(branch[2].bias)  # type: ignore[index]

    def forward(self, x: Tensor) -> Any:
        x = self.inp(x)
        for a, branch in zip(self.alpha, self.branches, strict=True):
            x = x + a * branch(x)
        return self.head(x)


def twice_zero(seed: int, ill: bool) -> Training:
    """Return the training of `ZeroResidual`."""
    return fit(ZeroResidual(ill), digits(seed), ce)


def zero_factors(seed: int, ill: bool, kind: str) -> Training:
    """Vectors of users and of items, or a relation's shares and its bases, are all zero."""
    t = cook(TABLES["neumf"] if kind == "shop" else GRAPHS["relational-gcn"], seed)
    m: Any = t.model
    pair = (m.gmf_u.weight, m.gmf_i.weight) if kind == "shop" else (m.comb, m.bases)
    for p in pair if ill else ():
        nn.init.zeros_(p)
    return t


CASES: list[Case] = [
    ill("captions-by-hook", "disconnected-parameters", "captions", captions, 40),
    ill("speakers-filters", "disconnected-parameters", "speech", speakers, 40),
    ill("drug-policy", "disconnected-parameters", "reinforcement", drug, 40),
    ill("nearest-code", "disconnected-parameters", "autoencoders", nearest, 40),
    ill("pool-scores", "disconnected-parameters", "sets", pooled, 40),
    ill("film-without-gradient", "disconnected-parameters", "tables", turned, 40),
    ill("glimpse-by-int", "disconnected-parameters", "attention", looked, 40),
    ill("copied-line", "disconnected-parameters", "forecasting", copied, 40),
    ill("loss-made-anew", "disconnected-parameters", "tables", rewrapped, 40),
    ill("rezero-and-fixup", "stuck-at-zero", "residual", twice_zero, 40),
    ill("shop-vectors", "stuck-at-zero", "recommendation", zero_factors, 40, kind="shop"),
    ill("relation-bases", "stuck-at-zero", "knowledge graphs", zero_factors, 40, kind="facts"),
]  # fmt: skip
