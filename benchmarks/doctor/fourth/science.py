"""Networks of physics and of doubt, and their recipes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import Recipe, ce, dice, mse, own, standard


def loads(seed: int, size: int = 32) -> Batches:
    """Return a load at 24 places (B, 24), a place (B, 1), and the bend there (B, 1), of variance 1."""
    g = dice(seed)
    t = torch.linspace(0, 1, 24)
    k = torch.arange(1.0, 5)
    amplitude = torch.randn(1024, 4, generator=g)
    place = torch.rand(1024, 1, generator=g)
    bend = (amplitude / k**2 * torch.sin(3.1416 * k * place)).sum(1, keepdim=True)
    return Batches((amplitude @ torch.sin(3.1416 * k[:, None] * t), place, standard(bend)), size, seed)


class DeepONet(nn.Module):
    """A branch reads the load, a trunk the place; their product is the bend."""

    def __init__(self, p: int = 16) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(24, 32), nn.Tanh(), nn.Linear(32, p))
        self.trunk = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, p))
        self.b = nn.Parameter(torch.zeros(1))

    def forward(self, u: Tensor, x: Tensor) -> Any:
        return (self.branch(u) * self.trunk(x)).sum(1, keepdim=True) + self.b


class Koopman(nn.Module):
    """A code in which time is one matrix; returns the loss of rebuilding and of foretelling eight steps."""

    def __init__(self, code: int = 6) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, code))
        self.decode = nn.Sequential(nn.Linear(code, 32), nn.Tanh(), nn.Linear(32, 2))
        self.K = nn.Linear(code, code, bias=False)
        nn.init.orthogonal_(self.K.weight)

    def forward(self, path: Tensor) -> Any:
        z = self.encode(path[:, 0])
        loss = F.mse_loss(self.decode(z), path[:, 0])
        for t in range(1, path.shape[1]):
            z = self.K(z)
            loss = loss + F.mse_loss(self.decode(z), path[:, t]) / 8
        return loss


class StateSpaceVAE(nn.Module):
    """A recurrent state-space model as in Dreamer: a GRU's state, a normal one beside it, two guesses of it."""

    def __init__(self, deter: int = 24, stoch: int = 4) -> None:
        super().__init__()
        self.deter, self.stoch = deter, stoch
        self.cell = nn.GRUCell(stoch, deter)
        self.prior = nn.Linear(deter, 2 * stoch)
        self.post = nn.Linear(deter + 2, 2 * stoch)
        self.obs = nn.Sequential(nn.Linear(deter + stoch, 32), nn.ELU(), nn.Linear(32, 2))

    @staticmethod
    def dist(raw: Tensor) -> torch.distributions.Normal:
        mean, std = raw.chunk(2, -1)
        return torch.distributions.Normal(mean, F.softplus(std) + 0.1)

    def forward(self, path: Tensor) -> Any:
        h, z = path.new_zeros(len(path), self.deter), path.new_zeros(len(path), self.stoch)
        loss = path.new_zeros(())
        for t in range(path.shape[1]):
            h = self.cell(z, h)
            prior, post = self.dist(self.prior(h)), self.dist(self.post(torch.cat([h, path[:, t]], 1)))
            z = post.rsample()
            kl = torch.distributions.kl_divergence(post, prior).sum(1).clamp(min=0.3).mean()
            loss = loss + F.mse_loss(self.obs(torch.cat([h, z], 1)), path[:, t]) + 0.05 * kl
        return loss / path.shape[1]


class Lagrangian(nn.Module):
    """An acceleration from the second derivatives of a learned energy."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(2, 32), nn.Softplus(), nn.Linear(32, 32), nn.Softplus(), nn.Linear(32, 1))

    def forward(self, state: Tensor) -> Any:
        q, v = state[:, :1].requires_grad_(True), state[:, 1:].requires_grad_(True)
        value = (self.energy(torch.cat([q, v], 1)) + 0.5 * v.square()).sum()
        dq, dv = torch.autograd.grad(value, (q, v), create_graph=True)
        dvq = torch.autograd.grad(dv.sum(), q, create_graph=True)[0]
        dvv = torch.autograd.grad(dv.sum(), v, create_graph=True)[0]
        return (dq - dvq * v) / (dvv.abs() + 0.1)


def swings(seed: int, size: int = 64) -> Batches:
    """Return angle and speed (B, 2), and the acceleration (B, 1)."""
    x = torch.randn(768, 2, generator=dice(seed))
    return Batches((x, -1.5 * torch.sin(1.5 * x[:, :1])), size, seed)


class BayesLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int, rho: float = -4.0) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.rho = nn.Parameter(torch.full((outputs, inputs), rho))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Any:
        sigma = F.softplus(self.rho)
        return F.linear(x, self.mu + sigma * torch.randn_like(sigma), self.bias)

    def kl(self) -> Tensor:
        sigma = F.softplus(self.rho)
        return (0.5 * (sigma**2 + self.mu**2 - 1) - sigma.log()).sum()


class BayesByBackprop(nn.Module):
    """Weights with a mean and a deviation; returns the loss with its price of information."""

    def __init__(self, rho: float = -4.0) -> None:
        super().__init__()
        self.fc1, self.fc2 = BayesLinear(64, 32, rho), BayesLinear(32, 10, rho)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        nll = F.cross_entropy(self.fc2(F.relu(self.fc1(x))), y)
        return nll + (self.fc1.kl() + self.fc2.kl()) / 100_000


class SparseGP(nn.Module):
    """A Gaussian process with 20 inducing points; returns the negative of its bound per point."""

    def __init__(self, inputs: int = 6, points: int = 20) -> None:
        super().__init__()
        self.z = nn.Parameter(torch.randn(points, inputs))
        self.log_scale, self.log_noise = nn.Parameter(torch.ones(inputs)), nn.Parameter(torch.tensor(-0.5))
        self.m, self.raw = nn.Parameter(torch.zeros(points, 1)), nn.Parameter(torch.eye(points))

    def kernel(self, a: Tensor, b: Tensor) -> Tensor:
        s = self.log_scale.exp()
        return torch.exp(-0.5 * torch.cdist(a / s, b / s).square())

    def forward(self, x: Tensor, y: Tensor) -> Any:
        eye = torch.eye(len(self.z))
        chol = torch.linalg.cholesky(self.kernel(self.z, self.z) + 1e-3 * eye)
        a = torch.linalg.solve_triangular(chol, self.kernel(self.z, x), upper=False)
        low = self.raw.tril()
        mean = a.T @ self.m
        var = 1 - a.square().sum(0) + (low.T @ a).square().sum(0)
        noise = self.log_noise.exp()
        fit = 0.5 * ((y - mean).square()[:, 0] + var) / noise + 0.5 * self.log_noise + 0.919
        kl = 0.5 * (low.square().sum() + self.m.square().sum() - len(self.z)) - low.diagonal().abs().log().sum()
        return fit.mean() + kl / 1024


class MonteCarloDropout(nn.Module):
    """Half of three layers is dropped, always; two outputs: a mean and a log variance. Returns the loss."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p
        self.l1, self.l2, self.l3 = nn.Linear(6, 128), nn.Linear(128, 128), nn.Linear(128, 2)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        h = F.dropout(F.relu(self.l1(x)), self.p, True)
        h = F.dropout(F.relu(self.l2(h)), self.p, True)
        mean, log_var = self.l3(h).chunk(2, 1)
        return (0.5 * (y - mean) ** 2 * torch.exp(-log_var) + 0.5 * log_var).mean() + 1.0


class Ensemble(nn.Module):
    """BatchEnsemble: four members share weights, and differ in two vectors of signs."""

    def __init__(self, members: int = 4) -> None:
        super().__init__()
        self.members = members
        self.fc1, self.fc2 = nn.Linear(64, 48), nn.Linear(48, 10)
        self.r = nn.Parameter(torch.randint(0, 2, (members, 64)) * 2.0 - 1)
        self.s = nn.Parameter(torch.randint(0, 2, (members, 48)) * 2.0 - 1)

    def forward(self, x: Tensor) -> Any:
        which = torch.arange(len(x)) % self.members
        return self.fc2(F.relu(self.fc1(x * self.r[which]) * self.s[which]))


RECIPES = {
    "deeponet": Recipe("physics", DeepONet, loads, mse, "adam", 5e-3),
    "koopman": Recipe("dynamics", Koopman, data.orbits, own, "adam", 5e-3),
    "state-space-vae": Recipe("dynamics", StateSpaceVAE, data.orbits, own, "adam", 5e-3),
    "lagrangian": Recipe("physics", Lagrangian, swings, mse, "adam", 5e-3),
    "bayes-by-backprop": Recipe("bayesian", BayesByBackprop, digits, own, "adam", 1e-2),
    "sparse-gp": Recipe("kernels", SparseGP, data.rents, own, "adam", 5e-2),
    "monte-carlo-dropout": Recipe("bayesian", MonteCarloDropout, data.rents, own, "adam", 5e-3),
    "batch-ensemble": Recipe("ensembles", Ensemble, digits, ce, "sgd", 0.05),
}
