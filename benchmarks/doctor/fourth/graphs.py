"""Networks of graphs, facts and bodies, and their recipes."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import Recipe, mse, own


class RelationalGCN(nn.Module):
    """Weights of each relation from shared bases; scores facts by DistMult. Returns the loss."""

    def __init__(self, entities: int = 24, relations: int = 4, dim: int = 24) -> None:
        super().__init__()
        self.emb = nn.Parameter(torch.randn(entities, dim) * 0.5)
        self.bases = nn.Parameter(torch.randn(2, dim, dim) / dim**0.5)
        self.comb = nn.Parameter(torch.randn(relations, 2))
        self.self_loop = nn.Linear(dim, dim)
        self.rel = nn.Parameter(torch.randn(relations, dim))

    def forward(self, facts: Tensor) -> Any:
        h, r, t = facts.unbind(1)
        w = torch.einsum("rb,bij->rij", self.comb, self.bases)
        message = torch.einsum("ni,nij->nj", self.emb[h], w[r])
        count = torch.ones(24).index_add(0, t, torch.ones(len(t)))
        x = torch.tanh(self.self_loop(self.emb).index_add(0, t, message) / count[:, None])
        scores = (x[h] * self.rel[r]) @ x.T
        return F.cross_entropy(scores, t)


class TransE(nn.Module):
    """A relation is a shift; wrong facts are to be farther by a margin. Things are put on the sphere at each step."""

    def __init__(self, dim: int = 20, margin: float = 1.0) -> None:
        super().__init__()
        self.entity, self.relation, self.margin = nn.Embedding(24, dim), nn.Embedding(4, dim), margin

    def forward(self, facts: Tensor) -> Any:
        with torch.no_grad():
            self.entity.weight.copy_(F.normalize(self.entity.weight, dim=1))
        h, r, t = facts.unbind(1)
        head, shift = self.entity(h), self.relation(r)
        right = (head + shift - self.entity(t)).norm(dim=1)
        wrong = (head + shift - self.entity(torch.randint(0, 24, t.shape))).norm(dim=1)
        return F.relu(self.margin + right - wrong).mean()


class RotatE(nn.Module):
    """A relation turns each complex number; negatives are weighed by how likely they seem. Returns the loss."""

    def __init__(self, dim: int = 12) -> None:
        super().__init__()
        self.re, self.im = nn.Embedding(24, dim), nn.Embedding(24, dim)
        self.phase = nn.Embedding(4, dim)
        nn.init.uniform_(self.phase.weight, -math.pi, math.pi)

    def forward(self, facts: Tensor) -> Any:
        h, r, t = facts.unbind(1)
        p, hr, hi = self.phase(r), self.re(h), self.im(h)
        a, b = hr * p.cos() - hi * p.sin(), hr * p.sin() + hi * p.cos()
        far = ((a[:, None] - self.re.weight) ** 2 + (b[:, None] - self.im.weight) ** 2 + 1e-9).sqrt().sum(2)
        return F.cross_entropy(6.0 - far, t)


class VGAE(nn.Module):
    """A variational autoencoder of links, which are rare and weighed therefore; returns the loss."""

    def __init__(self, inputs: int = 12, hidden: int = 16, code: int = 6) -> None:
        super().__init__()
        self.w0, self.w_mu, self.w_logstd = nn.Linear(inputs, hidden), nn.Linear(hidden, code), nn.Linear(hidden, code)

    def forward(self, x: Tensor, adj: Tensor, y: Tensor) -> Any:
        a = adj / adj.sum(1, keepdim=True)
        h = F.relu(a @ self.w0(x))
        mu, logstd = a @ self.w_mu(h), a @ self.w_logstd(h)
        z = mu + torch.randn_like(mu) * logstd.exp()
        weight = (adj.numel() - adj.sum()) / adj.sum()
        rec = F.binary_cross_entropy_with_logits(z @ z.T, adj, pos_weight=weight)
        kl = -0.5 / len(x) * (1 + 2 * logstd - mu**2 - (2 * logstd).exp()).sum(1).mean()
        return rec + kl


class APPNP(nn.Module):
    """A perceptron whose answers spread over the links ten times, each time with a share of what was."""

    def __init__(self, alpha: float = 0.2, dropout: float = 0.5) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(12, 32), nn.Linear(32, 3)
        self.alpha, self.dropout = alpha, dropout

    def forward(self, x: Tensor, adj: Tensor) -> Any:
        d = adj.sum(1).rsqrt()
        a = d[:, None] * adj * d
        z = h = self.lin2(
            F.dropout(F.relu(self.lin1(F.dropout(x, self.dropout, self.training))), self.dropout, self.training)
        )
        for _ in range(10):
            z = (1 - self.alpha) * a @ z + self.alpha * h
        return z


def half_labelled(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of every third node: the labels of the rest are not known."""
    x, adj, y = batch
    return F.cross_entropy(model(x, adj)[::3], y[::3])


class GraphTransformer(nn.Module):
    """Attention over all nodes with a learned bias where there is a link."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.inp = nn.Linear(12, width)
        self.qkv = nn.ModuleList([nn.Linear(width, 3 * width) for _ in range(2)])
        self.edge_bias = nn.Parameter(torch.zeros(2))
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.ffn = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 48), nn.GELU(), nn.Linear(48, width))
        self.out = nn.Linear(width, 3)

    def forward(self, x: Tensor, adj: Tensor) -> Any:
        h = self.inp(x)
        for i, (qkv, norm) in enumerate(zip(self.qkv, self.norms, strict=True)):
            q, k, v = qkv(norm(h)).chunk(3, -1)
            h = h + torch.softmax(q @ k.T / q.shape[-1] ** 0.5 + self.edge_bias[i] * adj, -1) @ v
        return self.out(h + self.ffn(h))


class EGNN(nn.Module):
    """Messages from distances move the bodies and their states: turns of the room change nothing."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.inp = nn.Linear(1, width)
        self.edge = nn.ModuleList([nn.Sequential(nn.Linear(2 * width + 1, width), nn.SiLU()) for _ in range(2)])
        self.move = nn.ModuleList([nn.Linear(width, 1, bias=False) for _ in range(2)])
        self.node = nn.ModuleList([nn.Sequential(nn.Linear(2 * width, width), nn.SiLU()) for _ in range(2)])
        self.out = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        for m in self.move:
            nn.init.xavier_uniform_(m.weight, gain=0.001)  # type: ignore[arg-type]

    def forward(self, pos: Tensor, charge: Tensor) -> Any:
        h, n = self.inp(charge), pos.shape[1]
        for edge, move, node in zip(self.edge, self.move, self.node, strict=True):
            diff = pos[:, :, None] - pos[:, None]
            far = diff.square().sum(-1, keepdim=True)
            pair = torch.cat(
                [h[:, :, None].expand(-1, -1, n, -1), h[:, None].expand(-1, n, -1, -1), torch.exp(-far)], -1
            )
            m = edge(pair) * (1 - torch.eye(n))[None, :, :, None]
            pos = pos + (diff * move(m)).mean(2)
            h = h + node(torch.cat([h, m.sum(2)], -1))
        return self.out(h.sum(1))


class ContinuousFilter(nn.Module):
    """Filters of distance by bumps (SchNet), shifted softplus, and an energy per body."""

    mu: Tensor

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.emb = nn.Embedding(2, width)
        self.filters = nn.ModuleList(
            [nn.Sequential(nn.Linear(10, width), nn.Softplus(), nn.Linear(width, width)) for _ in range(2)]
        )
        self.dense = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.register_buffer("mu", torch.linspace(0, 5, 10))
        self.out = nn.Sequential(nn.Linear(width, 16), nn.Softplus(), nn.Linear(16, 1))

    def forward(self, pos: Tensor, charge: Tensor) -> Any:
        x = self.emb((charge[..., 0] > 0).long())
        far = torch.cdist(pos, pos).unsqueeze(-1)
        rbf = torch.exp(-2 * (far - self.mu) ** 2)
        for filt, dense in zip(self.filters, self.dense, strict=True):
            w = filt(rbf) * (1 - torch.eye(pos.shape[1]))[None, :, :, None]
            x = x + torch.tanh(dense((w * x[:, None]).sum(2)))
        return self.out(x).sum(1)


RECIPES = {
    "relational-gcn": Recipe("knowledge graphs", RelationalGCN, data.triples, own, "adam", 1e-2),
    "trans-e": Recipe("knowledge graphs", TransE, data.triples, own, "adam", 6e-2),
    "rotat-e": Recipe("knowledge graphs", RotatE, data.triples, own, "adam", 3e-2),
    "vgae": Recipe("graph nets", VGAE, data.citations, own, "adam", 1e-2),
    "appnp": Recipe("graph nets", APPNP, data.citations, half_labelled, "adam-l2", 1e-2),
    "graph-transformer": Recipe("graph nets", GraphTransformer, data.citations, half_labelled, "adamw", 3e-3),
    "egnn": Recipe("molecules", EGNN, data.bodies, mse, "adam", 5e-3),
    "continuous-filter": Recipe("molecules", ContinuousFilter, data.bodies, mse, "adam", 5e-3),
}
