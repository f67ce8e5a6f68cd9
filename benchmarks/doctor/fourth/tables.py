"""Networks of tables, shops and words, and their recipes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import Recipe, bce, ce, mse, own


class EntityEmbeddings(nn.Module):
    """Categories as vectors beside a normed table, dropout, and layers that get smaller."""

    def __init__(self, p: float = 0.2) -> None:
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(n, d) for n, d in ((8, 4), (5, 3), (12, 6))])
        self.emb_drop = nn.Dropout(p)
        self.bn_cont = nn.BatchNorm1d(5)
        self.lins = nn.ModuleList([nn.Linear(18, 64), nn.Linear(64, 32)])
        self.bns = nn.ModuleList([nn.BatchNorm1d(64), nn.BatchNorm1d(32)])
        self.outp = nn.Linear(32, 1)

    def forward(self, x_cont: Tensor, x_cat: Tensor) -> Any:
        x = self.emb_drop(torch.cat([e(x_cat[:, i]) for i, e in enumerate(self.embeds)], 1))
        x = torch.cat([x, self.bn_cont(x_cont)], 1)
        for lin, bn in zip(self.lins, self.bns, strict=True):
            x = bn(F.relu(lin(x)))
        return self.outp(x).squeeze(1)


class WideDeep(nn.Module):
    """A linear part with crossed categories, and a deep one."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Embedding(40, 1)
        self.emb = nn.Embedding(25, 4)
        self.deep = nn.Sequential(nn.Linear(17, 48), nn.ReLU(), nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 1))
        nn.init.zeros_(self.wide.weight)

    def forward(self, num: Tensor, cat: Tensor) -> Any:
        offset = cat + torch.tensor([0, 8, 13])
        deep = self.deep(torch.cat([num, self.emb(offset).flatten(1)], 1))
        return (deep + self.wide(cat[:, 0] * 5 + cat[:, 1])).squeeze(1)


class CrossNetwork(nn.Module):
    """Deep and cross: each layer multiplies by what came in."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.emb = nn.Embedding(25, 4)
        self.cross = nn.ModuleList([nn.Linear(17, 17) for _ in range(depth)])
        self.deep = nn.Sequential(nn.Linear(17, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(33, 1)

    def forward(self, num: Tensor, cat: Tensor) -> Any:
        x = x0 = torch.cat([num, self.emb(cat + torch.tensor([0, 8, 13])).flatten(1)], 1)
        for layer in self.cross:
            x = x0 * layer(x) + x
        return self.head(torch.cat([x, self.deep(x0)], 1)).squeeze(1)


class FTTransformer(nn.Module):
    """Each column is a token."""

    def __init__(self, columns: int = 6, d: int = 24) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(columns, d)), nn.Parameter(torch.zeros(columns, d))
        self.cls = nn.Parameter(torch.zeros(1, 1, d))
        layer = nn.TransformerEncoderLayer(d, 4, 48, 0.0, "relu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(d), nn.ReLU(), nn.Linear(d, 1))

    def forward(self, x: Tensor) -> Any:
        tokens = x.unsqueeze(2) * self.weight + self.bias
        return self.head(self.blocks(torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1))[:, 0])


class SoftTree(nn.Module):
    """An ensemble of oblivious decision trees whose choices are soft (NODE)."""

    def __init__(self, inputs: int = 6, trees: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.select = nn.Parameter(torch.randn(inputs, trees * depth))
        self.threshold = nn.Parameter(0.3 * torch.randn(trees, depth))
        self.leaves = nn.Parameter(torch.randn(trees, 2**depth) * 0.3)
        self.shape = (trees, depth)

    def forward(self, x: Tensor) -> Any:
        chosen = (x @ torch.softmax(2 * self.select, 0)).view(-1, *self.shape)
        right = torch.sigmoid(3 * (chosen - self.threshold))
        weight = torch.ones(len(x), self.shape[0], 1)
        for d in range(self.shape[1]):
            weight = torch.cat([weight * (1 - right[:, :, d : d + 1]), weight * right[:, :, d : d + 1]], 2)
        return (weight * self.leaves).sum(2).mean(1, keepdim=True) * 4


class Additive(nn.Module):
    """A small network per column; their outputs are added (neural additive model)."""

    def __init__(self, inputs: int = 6) -> None:
        super().__init__()
        self.feature_nns = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(1, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))
                for _ in range(inputs)
            ]
        )
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Any:
        return torch.stack([f(x[:, i : i + 1]) for i, f in enumerate(self.feature_nns)]).sum(0) + self.bias


class SelfNormalising(nn.Module):
    """Twelve SELU layers with alpha dropout and LeCun's weights."""

    def __init__(self, inputs: int = 6, depth: int = 12, width: int = 48) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(depth):
            lin = nn.Linear(inputs if i == 0 else width, width)
            nn.init.kaiming_normal_(lin.weight, nonlinearity="linear")
            nn.init.zeros_(lin.bias)
            layers += [lin, nn.SELU(), nn.AlphaDropout(0.02)]
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


class SplineNet(nn.Module):
    """Kolmogorov and Arnold: a learned function, a sum of bumps, on each edge."""

    grid: Tensor

    def __init__(self, sizes: tuple[int, ...] = (6, 12, 1), grid: int = 8) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(-2, 2, grid))
        self.spline = nn.ParameterList([nn.Parameter(0.1 * torch.randn(a * grid, b)) for a, b in pairwise(sizes)])
        self.base = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])

    def forward(self, x: Tensor) -> Any:
        for w, base in zip(self.spline, self.base, strict=True):
            bumps = torch.exp(-(((x.unsqueeze(-1) - self.grid) * 1.75) ** 2)).flatten(1)
            x = bumps @ w + base(F.silu(x))
        return x


class TwoTower(nn.Module):
    """Questions and answers, each by a tower; the others of the batch are the wrong answers. Returns the loss."""

    def __init__(self, vocab: int = 80, dim: int = 24) -> None:
        super().__init__()
        self.q_emb, self.a_emb = nn.EmbeddingBag(vocab, dim, mode="mean"), nn.EmbeddingBag(vocab, dim, mode="mean")
        self.q_proj, self.a_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.temperature = 0.1

    def scores(self, q: Tensor, a: Tensor) -> Tensor:
        q, a = F.normalize(self.q_proj(self.q_emb(q)), dim=1), F.normalize(self.a_proj(self.a_emb(a)), dim=1)
        return q @ a.T / self.temperature

    def forward(self, q: Tensor, a: Tensor) -> Any:
        return F.cross_entropy(self.scores(q, a), torch.arange(len(q)))


class NeuMF(nn.Module):
    """Collaborative filtering: a product of vectors beside a perceptron; returns logits of a true fact."""

    def __init__(self, dim: int = 12) -> None:
        super().__init__()
        self.gmf_u, self.gmf_i = nn.Embedding(96, dim), nn.Embedding(24, dim)
        self.mlp_u, self.mlp_i = nn.Embedding(96, dim), nn.Embedding(24, dim)
        self.mlp = nn.Sequential(nn.Linear(2 * dim, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.affine = nn.Linear(dim + 16, 1)

    def forward(self, user: Tensor, item: Tensor) -> Any:
        mf = self.gmf_u(user) * self.gmf_i(item)
        mlp = self.mlp(torch.cat([self.mlp_u(user), self.mlp_i(item)], 1))
        return self.affine(torch.cat([mf, mlp], 1)).squeeze(1)


def sampled(model: nn.Module, batch: Any) -> Tensor:
    """A true item and one drawn at random per user."""
    user = batch[0][:, 0] * 4 + batch[0][:, 1]
    out = torch.cat([model(user, batch[0][:, 2]), model(user, torch.randint(0, 24, (len(user),)))])
    return F.binary_cross_entropy_with_logits(out, (torch.arange(len(out)) < len(user)).float())


class TopicModel(nn.Module):
    """A variational topic model (ProdLDA): themes of words, softmaxed codes; returns the loss per word."""

    def __init__(self, words: int = 60, topics: int = 6) -> None:
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(words, 40), nn.Softplus(), nn.Dropout(0.1))
        self.mu, self.lv = nn.Linear(40, topics), nn.Linear(40, topics)
        self.beta = nn.Linear(topics, words)

    def forward(self, x: Tensor) -> Any:
        h = self.enc(torch.log1p(x))
        mu, lv = self.mu(h), self.lv(h)
        theta = torch.softmax(mu + torch.randn_like(mu) * (0.5 * lv).exp(), 1)
        nll = -(x * torch.log_softmax(self.beta(theta) * 3, 1)).sum(1)
        kl = 0.5 * (mu.square() + lv.exp() - 1 - lv).sum(1)
        return ((nll + 0.1 * kl) / x.sum(1)).mean() - 2.5


class MonotonicNet(nn.Module):
    """Positive weights on the first column by softplus, a lattice of tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(1, 32) - 1)
        self.free = nn.Linear(5, 32)
        self.out = nn.Parameter(torch.randn(32, 1) - 2)
        self.rest = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Any:
        h = torch.tanh(x[:, :1] @ F.softplus(self.up) + self.free(x[:, 1:]))
        return h @ F.softplus(self.out) + self.rest(x[:, 1:])


RECIPES = {
    "entity-embeddings": Recipe("tables", EntityEmbeddings, data.adult, bce, "adam-l2", 5e-3),
    "wide-deep": Recipe("tables", WideDeep, data.adult, bce, "adagrad", 3e-2),
    "cross-network": Recipe("tables", CrossNetwork, data.adult, bce, "adam", 5e-3),
    "ft-transformer": Recipe("tables", FTTransformer, data.rents, mse, "adamw", 3e-3),
    "soft-trees": Recipe("trees", SoftTree, data.rents, mse, "adam", 3e-2),
    "additive": Recipe("tables", Additive, data.rents, mse, "adam", 1e-2),
    "self-normalising": Recipe("dense", SelfNormalising, data.rents, mse, "sgd", 3e-3),
    "splines": Recipe("splines", SplineNet, data.rents, mse, "adam", 2e-2),
    "two-tower": Recipe("retrieval", TwoTower, data.questions, own, "adam", 2e-2),
    "neumf": Recipe("recommendation", NeuMF, data.triples, sampled, "adam", 1e-2),
    "topic-model": Recipe("topics", TopicModel, data.papers, own, "adam-half", 1e-2),
    "monotonic": Recipe("tables", MonotonicNet, data.rents, mse, "rmsprop", 5e-3),
}


def classes_of_rings(width: int = 32, act: Any = nn.ReLU) -> nn.Sequential:
    """Return the network of a first lesson: two hidden layers and two classes."""
    return nn.Sequential(nn.Linear(2, width), act(), nn.Linear(width, width), act(), nn.Linear(width, 2))


RECIPES["rings"] = Recipe("dense", classes_of_rings, data.rings, ce, "adam", 1e-2)
