"""Ill at the end: what the loss wants is not what the head gives. The reports stand beside their cases."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import warnings
from functools import partial
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training, ill
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import bce, ce, cook, dice, optimiser, unexplained
from benchmarks.doctor.fourth.sequences import RECIPES as SERIES
from benchmarks.doctor.fourth.sequences import PatchTST
from benchmarks.doctor.fourth.tables import RECIPES as TABLES


def fit(net: nn.Module, batches: Any, loss: Any, way: str = "adam", rate: float = 5e-3, score: Any = None) -> Training:
    """Return a training by the usual loop."""
    return Training(net, batches, optimiser(way, net.parameters(), rate), loss, score=score)


class Matcher(nn.Module):
    """Nodes of one graph are matched with the shuffled ones of its noisy copy."""

    def __init__(self, softmax: bool) -> None:
        super().__init__()
        self.softmax = softmax
        self.embed = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, a: Tensor, b: Tensor) -> Any:
        scores = self.embed(a) @ self.embed(b).transpose(1, 2)
        return torch.softmax(scores, -1) if self.softmax else scores


def matching(seed: int, ill: bool) -> Training:
    """A softmax stood before nn.CrossEntropyLoss: github.com/mlelarge/graph_neural_net/pull/37"""
    g = dice(seed)
    x = torch.randn(512, 7, 8, generator=g)
    order = torch.rand(512, 7, generator=g).argsort(1)
    other = torch.gather(x, 1, order.argsort(1)[..., None].expand(-1, -1, 8)) + 0.3 * torch.randn(
        512, 7, 8, generator=g
    )
    return fit(
        Matcher(ill),
        Batches((x, other, order), 32, seed),
        lambda m, b: F.cross_entropy(m(b[0], b[1]).flatten(0, 1), b[2].flatten()),
    )


class Reader(nn.Module):
    """A question and eight candidates; which is the answer."""

    def __init__(self, softmax: bool) -> None:
        super().__init__()
        self.word = nn.Embedding(80, 24)
        self.gate = nn.Linear(24, 24)
        self.query, self.cand = nn.Linear(24, 24), nn.Linear(24, 24)
        self.softmax = nn.Softmax(dim=1) if softmax else nn.Identity()

    def forward(self, q: Tensor, c: Tensor) -> Any:
        q = self.word(q).mean(1)
        q = q * torch.sigmoid(self.gate(q))
        return self.softmax(torch.einsum("bd,bkd->bk", self.query(q), self.cand(self.word(c).mean(2))))


def candidates(seed: int, ill: bool) -> Training:
    """The softmax over candidates is in the loss already: github.com/bowang-lab/Transformer-GCN-QA/pull/32"""
    q, a = data.questions(seed).tensors
    wrong = torch.randint(0, len(a), (len(a), 8), generator=dice(seed + 1))
    y = torch.randint(0, 8, (len(a),), generator=dice(seed + 2))
    wrong[torch.arange(len(a)), y] = torch.arange(len(a))
    return fit(Reader(ill), Batches((q, a[wrong], y), 48, seed), ce, rate=1e-2)


class UNet3Plus(nn.Module):
    """Each level of the decoder sees all levels of the encoder."""

    def __init__(self, sigmoid: bool, c: int = 8) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.h1, self.h2, self.h3 = nn.Conv2d(3, c, 3, 1, 1), nn.Conv2d(c, c, 3, 1, 1), nn.Conv2d(c, c, 3, 1, 1)
        self.d2, self.d1 = nn.Conv2d(3 * c, c, 3, 1, 1), nn.Conv2d(3 * c, c, 3, 1, 1)
        self.outconv1 = nn.Conv2d(c, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Any:
        h1 = F.relu(self.h1(x))
        h2 = F.relu(self.h2(F.max_pool2d(h1, 2)))
        h3 = F.relu(self.h3(F.max_pool2d(h2, 2)))
        up = partial(F.interpolate, scale_factor=2, mode="bilinear")
        d2 = F.relu(self.d2(torch.cat([F.max_pool2d(h1, 2), h2, up(h3)], 1)))
        d1 = self.outconv1(F.relu(self.d1(torch.cat([h1, up(d2), up(up(h3))], 1))))
        return torch.sigmoid(d1) if self.sigmoid else d1


def full_scale(seed: int, ill: bool) -> Training:
    """F.sigmoid(d1), then a loss with logits: github.com/avBuffer/UNet3plus_pth/issues/23"""
    return fit(UNet3Plus(ill), data.masks(seed), bce, rate=5e-3)


class FactorisationMachine(nn.Module):
    def __init__(self, sigmoid: bool) -> None:
        super().__init__()
        self.u, self.i = nn.Embedding(96, 12), nn.Embedding(24, 12)
        self.bias_u, self.bias_i = nn.Embedding(96, 1), nn.Embedding(24, 1)
        self.sigmoid = sigmoid
        for e in (self.u, self.i):
            nn.init.normal_(e.weight, 0, 0.3)

    def forward(self, u: Tensor, i: Tensor) -> Any:
        out = (self.u(u) * self.i(i)).sum(1) + self.bias_u(u)[:, 0] + self.bias_i(i)[:, 0]
        return out.sigmoid() if self.sigmoid else out


def shop(seed: int, ill: bool) -> Training:
    """A sigmoid before BCEWithLogitsLoss; the loss does not converge: github.com/yudi-mars/daisyRec/pull/15"""
    return fit(FactorisationMachine(ill), data.triples(seed), TABLES["neumf"].loss, rate=3e-2)


class GatedShape(nn.Module):
    """A stream for regions and one for edges."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 16, 3, 1, 1)
        self.shape, self.cs = nn.Conv2d(16, 8, 3, 1, 1), nn.Conv2d(8, 1, 1)
        self.seg = nn.Conv2d(17, 1, 3, 1, 1)

    def forward(self, x: Tensor) -> Any:
        h = F.relu(self.trunk(x))
        edge = self.cs(F.relu(self.shape(h)))
        return self.seg(torch.cat([h, torch.sigmoid(edge)], 1)), edge


def edges(seed: int, ill: bool) -> Training:
    """The edges pass two sigmoids: github.com/nv-tlabs/GSCNN/issues/62"""
    x, y = data.masks(seed).tensors
    rim = F.max_pool2d(y, 3, 1, 1) - y

    def loss(m: nn.Module, b: Any) -> Any:
        seg, edge = m(b[0])
        edge = torch.sigmoid(edge) if ill else edge
        return F.binary_cross_entropy_with_logits(seg, b[1]) + F.binary_cross_entropy_with_logits(edge, b[2])

    return fit(GatedShape(), Batches((x, y, rim), 16, seed), loss, rate=1e-2)


def one_ahead(seed: int, ill: bool) -> Training:
    """(B, 1) against (B,): all pairs. github.com/jsboige/CoursIA/pull/926"""
    x, y = data.demand(seed, ahead=1).tensors
    batches = Batches((x, y[:, 0] if ill else y), 32, seed)

    def loss(m: nn.Module, b: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return nn.MSELoss()(m(b[0]), b[1])

    return cook(
        SERIES["patchtst"],
        seed,
        net=partial(PatchTST, 1, rev=False),
        data=lambda s: batches,
        loss=loss,
        rate=5e-3,
        score=unexplained(batches),
    )


def critic(seed: int, ill: bool) -> Training:
    """The shapes of a critic's output and of its target differ, and are broadcast, as in github.com/sunwuzhou03/reinforcement-learning-lab/issues/1"""
    q = nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    held = torch.randn(256, 6, generator=dice(seed))

    def worth(x: Tensor) -> Tensor:
        return 2 * torch.tanh(x[:, :2].sum(1)) - 0.5 * x[:, 2:4].square().sum(1)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        x = torch.randn(64, 6)
        target = worth(x) + 0.1 * torch.randn(64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss = F.mse_loss(m(x), target if ill else target[:, None])
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(
        q,
        repeat(()),
        torch.optim.Adam(q.parameters(), 5e-3),
        train_step=step,
        score=lambda m: float((m(held)[:, 0] - worth(held)).square().mean() / worth(held).var()),
    )


def census(seed: int, ill: bool) -> Training:
    """A redundant sigmoid on the census table: github.com/aidotse/LeakPro/issues/229"""
    return cook(
        TABLES["cross-network"],
        seed,
        loss=lambda m, b: F.binary_cross_entropy_with_logits(
            torch.sigmoid(m(b[0], b[1])) if ill else m(b[0], b[1]), b[2]
        ),
    )


class LaneNet(nn.Module):
    """Four lanes: is each there?"""

    def __init__(self, sigmoid: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 12, 7, 2)
        self.fc9, self.fc10 = nn.Linear(12 * 9, 32), nn.Linear(32, 4)
        self.sigmoid = sigmoid

    def forward(self, x: Tensor) -> Any:
        x = self.fc10(F.relu(self.fc9(F.max_pool1d(F.relu(self.conv(x)), 5).flatten(1)[:, :108])))
        return torch.sigmoid(x) if self.sigmoid else x


def lanes(seed: int, ill: bool) -> Training:
    """fc10, a sigmoid, and BCEWithLogitsLoss: github.com/Turoad/lanedet/issues/32"""
    y = torch.randint(0, 2, (512, 4), generator=dice(seed)).float()
    x = (
        y.repeat_interleave(24, 1) * torch.sin(torch.arange(96.0))
        + 0.5 * torch.randn(512, 96, generator=dice(seed + 1))
    )[:, None]
    return fit(LaneNet(ill), Batches((x, y), 32, seed), bce)


def pupil(seed: int, ill: bool) -> Training:
    """Distillation by F.kl_div, which wants logarithms of chances, of raw logits."""
    x, y = digits(seed).tensors
    soft = torch.softmax(4 * F.one_hot(y, 10).float() + 0.5 * torch.randn(len(y), 10, generator=dice(seed)), 1)

    def loss(m: nn.Module, b: Any) -> Any:
        out = m(b[0])
        return F.kl_div(out if ill else F.log_softmax(out, 1), b[1], reduction="batchmean")

    net = nn.Sequential(nn.Linear(64, 48), nn.Mish(), nn.Linear(48, 10))
    return fit(
        net, Batches((x, soft), 64, seed), loss, "sgd", 0.1, score=lambda m: float((m(x).argmax(1) != y).float().mean())
    )


def by_number(seed: int, ill: bool) -> Training:
    """The number of the language is the target of a squared error, as if one lay between two others."""
    x, y = data.names(seed).tensors
    net = nn.Sequential(nn.EmbeddingBag(27, 32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1 if ill else 3))

    def score(m: nn.Module) -> float:
        out = m(x)
        return float(((out[:, 0].round().long() if ill else out.argmax(1)) != y).float().mean())

    return fit(
        net,
        Batches((x, y), 32, seed),
        lambda m, b: F.mse_loss(m(b[0])[:, 0], b[1].float()) if ill else ce(m, b),
        rate=1e-2,
        score=score,
    )


CASES: list[Case] = [
    ill("graph-matcher", "loss-head-mismatch", "graph nets", matching, 80),
    ill("candidate-answers", "loss-head-mismatch", "retrieval", candidates, 80),
    ill("full-scale-unet", "loss-head-mismatch", "segmentation", full_scale, 60),
    ill("factorisation-machine", "loss-head-mismatch", "recommendation", shop, 100),
    ill("gated-shape-edges", "loss-head-mismatch", "segmentation", edges, 60),
    ill("one-week-ahead", "loss-head-mismatch", "forecasting", one_ahead, 100),
    ill("soft-critic", "loss-head-mismatch", "reinforcement", critic, 150),
    ill("census-sigmoid", "loss-head-mismatch", "tables", census, 80),
    ill("lanes-exist", "loss-head-mismatch", "detection", lanes, 60),
    ill("pupil-of-logits", "loss-head-mismatch", "teachers", pupil, 80),
    ill("number-of-class", "loss-head-mismatch", "text", by_number, 120),
]  # fmt: skip
