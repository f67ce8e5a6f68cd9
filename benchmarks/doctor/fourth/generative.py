"""Networks that make things, or learn without labels, and their recipes. Each returns its loss, unless it is a game."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import Recipe, own


class ConditionalVAE(nn.Module):
    """The digit is told to encoder and decoder; the decoder's deviation is learned (sigma-VAE)."""

    def __init__(self, code: int = 6, hidden: int = 64) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64 + 10, hidden)
        self.fc_mu, self.fc_var = nn.Linear(hidden, code), nn.Linear(hidden, code)
        self.fc3, self.fc4 = nn.Linear(code + 10, hidden), nn.Linear(hidden, 64)
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        c = F.one_hot(y, 10).float()
        h = F.leaky_relu(self.fc1(torch.cat([x, c], 1)))
        mu, logvar = self.fc_mu(h), self.fc_var(h)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        out = self.fc4(F.leaky_relu(self.fc3(torch.cat([z, c], 1))))
        kld = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
        nll = 0.5 * ((x - out) / self.log_sigma.exp()) ** 2 + self.log_sigma + 0.919
        return nll.sum(1).mean() / 64 + kld / 64


class WassersteinAE(nn.Module):
    """A code whose spread is compared with a normal one by sorted projections (sliced WAE)."""

    def __init__(self, code: int = 6) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ELU(), nn.Linear(48, code))
        self.decoder = nn.Sequential(nn.Linear(code, 48), nn.ELU(), nn.Linear(48, 64))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        z = self.encoder(x)
        way = F.normalize(torch.randn(z.shape[1], 20), dim=0)
        swd = ((z @ way).sort(0).values - (torch.randn_like(z) @ way).sort(0).values).square().mean()
        return F.mse_loss(self.decoder(z), x) + 0.2 * swd


class Denoising(nn.Module):
    """Pixels are dropped out and to be put back; the decoder has the encoder's weights."""

    def __init__(self, p: float = 0.3) -> None:
        super().__init__()
        self.enc = nn.Linear(64, 40)
        self.bias = nn.Parameter(torch.zeros(64))
        self.p = p

    def forward(self, x: Tensor, y: Tensor) -> Any:
        h = torch.sigmoid(self.enc(F.dropout(x, self.p, self.training)))
        return F.mse_loss(F.linear(h, self.enc.weight.t(), self.bias), x)


class PlanarFlow(nn.Module):
    """Ten planar flows of the plane; the density of two rings. Returns the negative likelihood."""

    def __init__(self, flows: int = 10) -> None:
        super().__init__()
        self.u = nn.Parameter(0.1 * torch.randn(flows, 2))
        self.w = nn.Parameter(torch.randn(flows, 2))
        self.b = nn.Parameter(torch.zeros(flows))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        logdet = x.new_zeros(len(x))
        for u, w, b in zip(self.u, self.w, self.b, strict=True):
            wu = w @ u
            u_hat = u + (F.softplus(wu) - 1 - wu) * w / w.square().sum()
            act = torch.tanh(x @ w + b)
            logdet = logdet + torch.log(1 + (1 - act**2) * (w @ u_hat) + 1e-6)
            x = x + u_hat * act.unsqueeze(1)
        return (0.5 * x.square().sum(1) + math.log(2 * math.pi) - logdet).mean()


class SimCLR(nn.Module):
    """Two noisy views of each digit are to find each other among all others (NT-Xent)."""

    def __init__(self, temperature: float = 0.3) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
        self.projector = nn.Sequential(nn.ReLU(), nn.Linear(32, 16))
        self.temperature = temperature

    def forward(self, x: Tensor, y: Tensor) -> Any:
        views = [x * (torch.rand_like(x) > 0.2) + 0.2 * torch.randn_like(x) for _ in range(2)]
        z = F.normalize(self.projector(self.encoder(torch.cat(views))), dim=1)
        sim = (z @ z.T / self.temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
        return F.cross_entropy(sim, torch.arange(len(z)).roll(len(x)))


class DINO(nn.Module):
    """A student learns what its slow copy says, which is centred and sharpened; the copy has no gradient."""

    center: Tensor

    def __init__(self, out: int = 24) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, out))
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("center", torch.zeros(1, out))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        a, b = (x + 0.3 * torch.randn_like(x) for _ in range(2))
        with torch.no_grad():
            for s, t in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                t.lerp_(s, 0.05)
            raw = self.teacher(a)
            target = torch.softmax((raw - self.center) / 0.1, 1)
            self.center = 0.9 * self.center + 0.1 * raw.mean(0, keepdim=True)
        return -(target * torch.log_softmax(self.student(b) / 0.2, 1)).sum(1).mean()


class CPC(nn.Module):
    """What comes next is to be told from what comes next elsewhere; a GRU over patches of a series."""

    def __init__(self, dim: int = 24) -> None:
        super().__init__()
        self.g_enc = nn.Conv1d(6, dim, 8, 4)
        self.g_ar = nn.GRU(dim, dim, batch_first=True)
        self.predictors = nn.ModuleList([nn.Linear(dim, dim, bias=False) for _ in range(2)])

    def forward(self, x: Tensor, y: Tensor) -> Any:
        z = F.relu(self.g_enc(x)).transpose(1, 2)
        c = self.g_ar(z[:, :6])[0][:, -1]
        losses = [F.cross_entropy(z[:, 6 + k] @ wk(c).T, torch.arange(len(x))) for k, wk in enumerate(self.predictors)]
        return torch.stack(losses).mean()


class SwAV(nn.Module):
    """Two views are given to prototypes so that each prototype gets as many; one view foretells the other's."""

    def __init__(self, prototypes: int = 12) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
        self.prototypes = nn.Linear(16, prototypes, bias=False)

    @torch.no_grad()
    def sinkhorn(self, scores: Tensor) -> Tensor:
        q = torch.exp((scores - scores.max()) / 0.05).T
        for _ in range(3):
            q = q / q.sum(1, keepdim=True) / len(q)
            q = q / q.sum(0, keepdim=True) / q.shape[1]
        return q.T * len(scores)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        with torch.no_grad():
            self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
        a, b = (self.prototypes(F.normalize(self.backbone(x + 0.3 * torch.randn_like(x)), dim=1)) for _ in range(2))
        qa, qb = self.sinkhorn(a), self.sinkhorn(b)
        return -((qa * F.log_softmax(b / 0.1, 1)).sum(1) + (qb * F.log_softmax(a / 0.1, 1)).sum(1)).mean() / 2


class SlotAttention(nn.Module):
    """Slots compete for the pixels; each paints a picture and its mask."""

    def __init__(self, slots: int = 2, dim: int = 16) -> None:
        super().__init__()
        self.slots, self.dim = slots, dim
        self.enc = nn.Sequential(nn.Conv2d(5, dim, 5, 1, 2), nn.ReLU(), nn.Conv2d(dim, dim, 1))
        self.mu, self.log_sigma = nn.Parameter(torch.randn(1, 1, dim)), nn.Parameter(torch.zeros(1, 1, dim))
        self.q, self.k, self.v = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.gru, self.norm_x, self.norm_s = nn.GRUCell(dim, dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dec = nn.Sequential(nn.Conv2d(dim + 2, 24, 3, 1, 1), nn.ReLU(), nn.Conv2d(24, 4, 3, 1, 1))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        line = torch.linspace(-1, 1, 16)
        grid = torch.stack(torch.meshgrid(line, line, indexing="ij"))
        h = self.enc(torch.cat([x, grid.expand(len(x), -1, -1, -1)], 1)).flatten(2).transpose(1, 2)
        k, v = self.k(self.norm_x(h)), self.v(self.norm_x(h))
        s = self.mu + self.log_sigma.exp() * torch.randn(len(x), self.slots, self.dim)
        for _ in range(2):
            attn = torch.softmax(k @ self.q(self.norm_s(s)).transpose(1, 2) / self.dim**0.5, -1) + 1e-6
            updates = (attn / attn.sum(1, keepdim=True)).transpose(1, 2) @ v
            s = self.gru(updates.flatten(0, 1), s.flatten(0, 1)).view_as(s)
        spread = s.flatten(0, 1)[:, :, None, None].expand(-1, -1, 16, 16)
        out = self.dec(torch.cat([spread, grid.expand(len(spread), -1, -1, -1)], 1)).view(len(x), self.slots, 4, 16, 16)
        masks = torch.softmax(out[:, :, 3:], 1)
        return F.mse_loss((masks * out[:, :, :3]).sum(1), x)


RECIPES = {
    "conditional-vae": Recipe("autoencoders", ConditionalVAE, digits, own, "adam", 5e-3),
    "sliced-autoencoder": Recipe("autoencoders", WassersteinAE, digits, own, "adamw", 5e-3),
    "denoising-tied": Recipe("autoencoders", Denoising, digits, own, "adam", 1e-2),
    "planar-flow": Recipe("flows", PlanarFlow, data.rings, own, "adam", 3e-2),
    "simclr": Recipe("contrastive", SimCLR, digits, own, "adam", 3e-3),
    "dino": Recipe("teachers", DINO, digits, own, "adamw", 3e-3),
    "cpc": Recipe("contrastive", CPC, data.activity, own, "adam", 5e-3),
    "swav": Recipe("self-supervised", SwAV, digits, own, "adam", 1e-2),
    "slots": Recipe("attention", SlotAttention, data.scenes, own, "adam", 4e-3),
}
