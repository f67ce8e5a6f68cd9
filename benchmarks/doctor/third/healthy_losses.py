"""Healthy trainings on losses seldom seen: survival, mixtures, ranks, ordinals, sparsity, kernels, transport."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second import tasks as more
from benchmarks.doctor.second.common import classify, each, looped, squared
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.tasks import Net


def cox(model: nn.Module, batch: Any) -> Tensor:
    """Cox's partial likelihood within the batch, against that of knowing nothing."""
    x, time, seen = batch
    order = time.argsort(descending=True)
    risk, seen = model(x)[order, 0], seen[order]
    nothing = torch.log(torch.arange(1.0, len(x) + 1))
    return -((risk - risk.logcumsumexp(0) + nothing) * seen).sum() / seen.sum()


def hazards(model: nn.Module, batch: Any) -> Tensor:
    """Discrete hazards over eight bins of time; those lost sight of say nothing after."""
    x, time, seen = batch
    at = torch.bucketize(time, torch.tensor([0.05, 0.15, 0.3, 0.5, 0.8, 1.3, 2.2]))
    reached, ends = torch.arange(8) <= at[:, None], (torch.arange(8) == at[:, None]) & (seen[:, None] > 0)
    return (F.binary_cross_entropy_with_logits(model(x), ends.float(), reduction="none") * reached).sum(1).mean()


def mixture(model: nn.Module, batch: Any) -> Tensor:
    """Bishop's mixture density network, of four normals."""
    weight, mean, log = model(batch[0]).chunk(3, 1)
    parts = torch.distributions.Normal(mean, log.clamp(-4, 3).exp()).log_prob(batch[1])
    return -torch.logsumexp(weight.log_softmax(1) + parts, 1).mean() + 1.5


def pinball(model: nn.Module, batch: Any) -> Tensor:
    """Quantiles that cannot cross: each is a softplus above the one before."""
    out = model(batch[0])
    q = torch.cat((out[:, :1], F.softplus(out[:, 1:])), 1).cumsum(1)
    miss, level = batch[1] - q, torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(level * miss, (level - 1) * miss).mean()


def crps(model: nn.Module, batch: Any) -> Tensor:
    """The continuous ranked probability score of a normal."""
    mean, raw = model(batch[0]).chunk(2, 1)
    deviation = F.softplus(raw) + 1e-3
    z = (batch[1] - mean) / deviation
    normal = torch.distributions.Normal(0.0, 1.0)
    return (deviation * (z * (2 * normal.cdf(z) - 1) + 2 * normal.log_prob(z).exp() - 0.5642)).mean()


def matrix() -> nn.Module:
    """Factors of a matrix with biases, small at the start."""
    net = Net(
        lambda m, x: ((m.who(x[:, 0]) * m.what(x[:, 1])).sum(1) + m.bias(x[:, 1])[:, 0])[:, None],
        who=nn.Embedding(40, 8),
        what=nn.Embedding(30, 8),
        bias=nn.Embedding(30, 1),
    )
    for part in net.children():
        nn.init.normal_(part.weight, 0, 0.1)  # type: ignore[arg-type]
    return net


def ranked(model: nn.Module, batch: Any) -> Tensor:
    """Bayesian personalised ranking: what was liked before what was drawn."""
    x, y = batch
    half = len(x) // 2
    other = torch.stack((x[:half, 0], x[half:, 1]), 1)
    liked = (y[:half, 0] > 0.3).float()
    return (F.softplus(model(other) - model(x[:half]))[:, 0] * liked).sum() / liked.sum().clamp(min=1)


def sigmoid_pairs() -> nn.Module:
    """SigLIP: two towers, a learned temperature, a bias that starts at -10."""
    return Net(lambda m, a, b: F.normalize(m.one(a), dim=1) @ F.normalize(m.two(b), dim=1).T * m.warmth.exp() + m.bias, one=mlp(16, 12, 48, 1), two=mlp(16, 12, 48, 1), warmth=nn.Parameter(torch.tensor(2.3)), bias=nn.Parameter(torch.tensor(-10.0)))  # fmt: skip


def each_pair(model: nn.Module, batch: Any) -> Tensor:
    """A sigmoid per pair; all but the diagonal are unlike."""
    sign = 2 * torch.eye(len(batch[0])) - 1
    return F.softplus(-sign * model(*batch)).sum(1).mean()


def canonical(model: nn.Module, batch: Any) -> Tensor:
    """Deep canonical correlation: minus the singular values of the whitened covariance, by eigenvalues."""
    a, b = (net(x) for net, x in zip(model.children(), batch, strict=True))
    a, b = a - a.mean(0), b - b.mean(0)

    def root(c: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(c + 1e-2 * torch.eye(len(c)))
        return vectors @ torch.diag(values.rsqrt()) @ vectors.T

    t = root(a.T @ a / len(a)) @ (a.T @ b / len(a)) @ root(b.T @ b / len(b))
    return 3 - torch.linalg.matrix_norm(t, "nuc")


def weighed(model: nn.Module, batch: Any) -> Tensor:
    """Three tasks weighed by uncertainties that are learned (Kendall): the loss may go below zero."""
    out = model(batch[0])
    y = batch[1]
    parts = torch.stack(
        (
            F.mse_loss(out[:, :1], y),
            F.l1_loss(out[:, 1:2], y.square() - 1),
            F.binary_cross_entropy_with_logits(out[:, 2:], (y > 0).float()),
        )
    )
    return (parts * torch.exp(-model.log) + model.log).sum()  # type: ignore[operator, arg-type]


def several() -> nn.Module:
    """A body of three heads, and three logarithms."""
    return Net(lambda m, x: m.net(x), net=mlp(10, 3, 48, 2), log=nn.Parameter(torch.zeros(3)))


def ordinal(model: nn.Module, batch: Any) -> Tensor:
    """CORAL: one score, four thresholds, a class of five."""
    rank = torch.bucketize(batch[1][:, 0], torch.tensor([-1.0, -0.3, 0.3, 1.0]))
    return F.binary_cross_entropy_with_logits(model(batch[0]), (rank[:, None] > torch.arange(4)).float())


def thresholds() -> nn.Module:
    """The model of `ordinal`."""
    return Net(lambda m, x: m.net(x) + m.steps, net=mlp(10, 1, 32, 2), steps=nn.Parameter(torch.linspace(1, -1, 4)))


def counted(model: nn.Module, batch: Any) -> Tensor:
    """Negative binomial counts: mean and dispersion, through lgamma."""
    log, spread = model(batch[0]).chunk(2, 1)
    r = F.softplus(spread) + 0.1
    return -torch.distributions.NegativeBinomial(r, logits=log.clamp(-8, 8) - r.log()).log_prob(batch[1]).mean()


def gamma(model: nn.Module, batch: Any) -> Tensor:
    """A gamma's likelihood of what is above zero."""
    log = model(batch[0]).clamp(-6, 6)
    return (log + batch[1].exp() / log.exp()).mean()


def evidence(model: nn.Module, batch: Any) -> Tensor:
    """Evidential classes: a Dirichlet's expected squared error."""
    alpha = F.softplus(model(batch[0])) + 1
    p = alpha / alpha.sum(1, keepdim=True)
    return ((F.one_hot(batch[1], 3) - p).square() + p * (1 - p) / (alpha.sum(1, keepdim=True) + 1)).sum(1).mean()


def margins(model: nn.Module, batch: Any) -> Tensor:
    """A support vector machine's loss: most samples give no gradient in the end."""
    return F.multi_margin_loss(model(batch[0]), batch[1], margin=0.5)


def outliers(seed: int) -> Any:
    """Return Friedman's columns; one target of thirty is nonsense."""
    batches = tasks.friedman(seed)
    batches.tensors[1][::30] = 12.0
    return batches


def lasso(seed: int) -> Training:
    """ISTA: after each step the weights are soft-thresholded, so that most become and stay exactly zero."""
    net = nn.Linear(40, 1)
    x = torch.randn(512, 40, generator=more.dice(seed))
    batches = more.Batches((x, x[:, :3].sum(1, keepdim=True) / 1.7), 128, seed)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = squared(model, batch)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.weight.copy_(model.weight.sign() * F.relu(model.weight.abs() - 5e-3))
        return loss

    return looped(net, batches, step, "plain", 0.1)


def sparse_code() -> nn.Module:
    """A dictionary as interpretability draws it: many more units than inputs, tied at the start, ReLU, an L1 price."""
    net = Net(
        lambda m, x: (m.back(h := F.relu(m.code(x - m.back.bias))), h), code=nn.Linear(16, 96), back=nn.Linear(96, 16)
    )
    with torch.no_grad():
        net.back.weight.copy_(F.normalize(net.code.weight.T, dim=0))  # type: ignore[operator, union-attr, arg-type]
    return net


def priced(model: nn.Module, batch: Any) -> Tensor:
    """Rebuilding and sparsity."""
    out, h = model(batch[0])
    return F.mse_loss(out, batch[0]) + 2e-3 * h.abs().sum(1).mean()


def deep_kernel() -> nn.Module:
    """A Gaussian process on learned features; the model returns minus its evidence, by a Cholesky factor."""

    def run(m: Any, x: Tensor, y: Tensor) -> Tensor:
        z = m.net(x)
        k = m.height.exp() * torch.exp(-0.5 * torch.cdist(z, z).square()) + (m.noise.exp() + 1e-3) * torch.eye(len(x))
        factor = torch.linalg.cholesky(k)
        return (0.5 * (y * torch.cholesky_solve(y, factor)).sum() + factor.diagonal().log().sum()) / len(x) + 1

    return Net(
        run,
        net=mlp(10, 3, 32, 1, nn.Tanh),
        height=nn.Parameter(torch.zeros(())),
        noise=nn.Parameter(torch.tensor(-1.0)),
    )


def itself(model: nn.Module, batch: Any) -> Tensor:
    """The model returns its loss."""
    value: Tensor = model(*batch)
    return value


def discrepancy(model: nn.Module, batch: Any) -> Tensor:
    """A generator against kernels' mean discrepancy."""
    real, fake = batch[0], model(torch.randn(len(batch[0]), 3))

    def near(a: Tensor, b: Tensor) -> Tensor:
        return sum((torch.exp(-torch.cdist(a, b).square() / s).mean() for s in (0.1, 0.5, 2.0)), torch.zeros(()))

    return near(real, real) + near(fake, fake) - 2 * near(real, fake)


def transport(model: nn.Module, batch: Any) -> Tensor:
    """A generator against Sinkhorn's transport, in logarithms."""
    cost = torch.cdist(model(torch.randn(len(batch[0]), 3)), batch[0]).square()
    f = g = torch.zeros(len(cost))
    for _ in range(15):
        f = -0.2 * torch.logsumexp((g - cost) / 0.2, 1)
        g = -0.2 * torch.logsumexp((f[:, None] - cost) / 0.2, 0)
    return ((f[:, None] + g - cost) / 0.2).exp().mul(cost).sum() / len(cost)


def soft_labels(model: nn.Module, batch: Any) -> Tensor:
    """Smoothed labels and CutMix-like soft targets."""
    y = F.one_hot(batch[1], 3).float()
    share = torch.rand(len(y), 1)
    return F.cross_entropy(
        model(share * batch[0] + (1 - share) * batch[0].flip(0)),
        share * y + (1 - share) * y.flip(0),
        label_smoothing=0.05,
    )


CASES: list[Case] = [
    *each("cox-survival", "survival", partial(mlp, 8, 1, 32, 2, nn.SELU), tasks.lifetimes, cox, {"adam": 5e-3, "adamw": 1e-2}, 80),
    *each("hazards-in-bins", "survival", partial(mlp, 8, 8, 32, 1), tasks.lifetimes, hazards, {"adam": 1e-2, "rmsprop": 3e-3}, 80),
    *each("mixture-density", "densities", partial(mlp, 1, 12, 32, 1, nn.Tanh), tasks.inverse, mixture, {"adam": 1e-2, "nadam": 1e-2}, 120),
    *each("quantiles-in-order", "densities", partial(mlp, 10, 3, 48, 2), tasks.friedman, pinball, {"adam": 5e-3}, 80),
    *each("ranked-score", "densities", partial(mlp, 10, 2, 48, 2), tasks.friedman, crps, {"adam": 5e-3, "radam": 1e-2}, 80),
    *each("matrix-factors", "embeddings", matrix, tasks.ratings, squared, {"adam": 2e-2, "adagrad": 0.2}, 120),
    *each("ranking-bpr", "embeddings", matrix, tasks.ratings, ranked, {"adam": 2e-2}, 120),
    *each("sigmoid-pairs", "contrastive", sigmoid_pairs, tasks.couples, each_pair, {"adam": 5e-3, "adamw": 5e-3}, 80),
    *each("canonical-correlation", "contrastive", lambda: nn.Sequential(mlp(16, 3, 32, 1, nn.Tanh), mlp(16, 3, 32, 1, nn.Tanh)), partial(tasks.couples, size=128), canonical, {"adam": 3e-3}, 80),
    *each("learned-weights-of-tasks", "several tasks", several, tasks.friedman, weighed, {"adam": 5e-3, "adamw": 5e-3}, 100),
    *each("ordinal-thresholds", "tables", thresholds, tasks.friedman, ordinal, {"adam": 1e-2}, 80),
    *each("negative-binomial", "tables", partial(mlp, 6, 2, 32, 1), more.counts, counted, {"adam": 1e-2}, 80),
    *each("gamma-likelihood", "tables", partial(mlp, 10, 1, 32, 1), partial(tasks.friedman, scale=1.5, shift=1.0), gamma, {"adam": 1e-2}, 80),
    *each("evidential", "densities", partial(mlp, 2, 3, 48, 2), tasks.spirals, evidence, {"adam": 1e-2}, 100),
    *each("margins", "dense", partial(mlp, 2, 3, 48, 2), tasks.spirals, margins, {"adam": 1e-2, "nesterov": 0.1}, 120),
    *each("outliers-log-cosh", "robust losses", partial(mlp, 10, 1, 48, 2), outliers, lambda m, b: (torch.logaddexp(d := m(b[0]) - b[1], -d) - 0.6931).mean(), {"adam": 5e-3}, 100),
    healthy("lasso-ista", "sparsity", seeded(lasso), 80),
    *each("sparse-dictionary", "sparsity", sparse_code, tasks.couples, priced, {"adam": 3e-3}, 120),
    *each("deep-kernel", "kernels", deep_kernel, tasks.friedman, itself, {"adam": 2e-2}, 80),
    *each("kernel-discrepancy", "generative", partial(mlp, 3, 2, 48, 2), partial(tasks.moons, size=128), discrepancy, {"adam": 5e-3}, 100),
    *each("sinkhorn", "generative", partial(mlp, 3, 2, 48, 2), tasks.moons, transport, {"adam": 5e-3}, 100),
    *each("mixed-soft-labels", "dense", partial(mlp, 2, 3, 64, 2), tasks.spirals, soft_labels, {"adam": 1e-2}, 150),
    *each("softplus-spirals", "dense", partial(mlp, 2, 3, 48, 2, nn.Softplus), tasks.spirals, classify, {"adam": 1e-2}, 150),
]  # fmt: skip
