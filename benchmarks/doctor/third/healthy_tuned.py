"""Healthy fine-tuning and the like: thawed, pruned, scaled, resumed, inner loops, ensembles."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from benchmarks.doctor.case import Case, Training, healthy, seeded, steps_of
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import by, classify, fit, looped
from benchmarks.doctor.third import tasks
from benchmarks.doctor.third.healthy_loops import arms, usual
from benchmarks.doctor.third.healthy_nets import separable
from benchmarks.doctor.third.tasks import Net


def thawing(seed: int) -> Training:
    """ULMFiT: the head alone at first, then layer by layer, as new groups of smaller rates."""
    net: Any = separable()
    net.requires_grad_(False)
    net.out.requires_grad_(True)
    order = [net.two, net.one, net.stem]

    def before(model: Any, optimizer: Any, number: int) -> None:
        if number % 15 == 14 and order:
            part = order.pop(0)
            part.requires_grad_(True)
            optimizer.add_param_group({"params": list(part.parameters()), "lr": 2e-3})

    return looped(net, tasks.motifs(seed), usual(classify, before=before), "adam", 1e-2)


def pruned(seed: int) -> Training:
    """Half of the units have their weights pruned, and masked in forward by torch's own hooks."""
    net: Any = arms()
    for layer in (net[0], net[2]):
        prune.ln_structured(layer, "weight", 0.5, 2, 0)
    return Training(net, tasks.spirals(seed), by("adam", 1e-2, net.parameters()), classify)


def scaled_only(seed: int) -> Training:
    """IA3: within a frozen network only vectors that start at one learn, and the head."""
    net: Any = Net(
        lambda m, x: m.out(m.two(m.l1 * F.relu(m.one(x))).relu() * m.l2),
        one=nn.Linear(2, 64),
        two=nn.Linear(64, 64),
        l1=nn.Parameter(torch.ones(64)),
        l2=nn.Parameter(torch.ones(64)),
        out=nn.Linear(64, 3),
    )
    net.one.requires_grad_(False)
    net.two.requires_grad_(False)
    return Training(net, tasks.spirals(seed), by("adamw", 2e-2, net.parameters()), classify)


def ensemble(seed: int) -> Training:
    """Eight networks stacked by torch.func and trained as one."""
    many = [mlp(2, 3, 24, 2) for _ in range(8)]
    stacked, _ = torch.func.stack_module_state(many)  # type: ignore[arg-type]
    base = copy.deepcopy(many[0]).to("meta")
    names = list(stacked)
    held = nn.ParameterList(nn.Parameter(stacked[name].detach()) for name in names)

    def run(m: Any, x: Tensor) -> Tensor:
        return torch.func.vmap(lambda p: torch.func.functional_call(base, p, (x,)))(
            dict(zip(names, m.held, strict=True))
        )

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out = model(batch[0])
        return F.cross_entropy(out.flatten(0, 1), batch[1].repeat(8))

    return Training(net := Net(run, held=held), tasks.spirals(seed), by("adam", 5e-3, net.parameters()), loss)


def inner(seed: int, kind: str) -> Training:
    """Meta-learning of sines: only the head adapts (ANIL), or each weight has a learned rate (Meta-SGD)."""
    net: Any = Net(lambda m, x: m.net(x), net=mlp(1, 1, 32, 2, nn.Tanh))
    if kind == "rates":
        net.rates = nn.ParameterList(nn.Parameter(torch.full_like(p, 0.02)) for p in net.net.parameters())

    def loss(model: Any, batch: Any) -> Tensor:
        total = torch.zeros(())
        for _ in range(4):
            shift, x = 3 * torch.rand(()), 4 * torch.rand(20, 1) - 2
            y = torch.sin(2 * x + shift)
            weights = dict(model.net.named_parameters())
            chosen = [name for name in weights if kind == "rates" or name.startswith("4")]
            for _ in range(2):
                guess = torch.func.functional_call(model.net, weights, (x[:10],))
                grads = torch.autograd.grad(F.mse_loss(guess, y[:10]), [weights[n] for n in chosen], create_graph=True)
                rates = model.rates if kind == "rates" else [0.2] * len(chosen)
                weights = weights | {n: weights[n] - r * g for n, g, r in zip(chosen, grads, rates, strict=True)}
            total = total + F.mse_loss(torch.func.functional_call(model.net, weights, (x[10:],)), y[10:])
        return total / 4

    return Training(net, tasks.moons(seed), by("adam", 1e-2, net.parameters()), loss)


def resumed(seed: int, kind: str) -> Training:
    """From a checkpoint: weights and optimiser are loaded, the rate is small; or it is trained to the end already."""
    make: Any = tasks.spirals if kind == "spirals" else tasks.motifs
    first = fit(seed, arms if kind == "spirals" else separable, make, classify, "adam", 5e-3)
    for _ in steps_of(first, 200):
        pass
    net = arms() if kind == "spirals" else separable()
    net.load_state_dict(copy.deepcopy(first.model.state_dict()))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    optimizer.param_groups[0]["lr"] = 1e-5 if kind == "motifs" else 5e-3
    return Training(net, make(seed + 1) if kind == "motifs" else make(seed), optimizer, classify)


def two_rates(seed: int) -> Training:
    """A body trained before learns at a rate ten thousand times smaller than its new head."""
    first = fit(seed, separable, tasks.motifs, classify, "adam", 5e-3)
    for _ in steps_of(first, 60):
        pass
    net: Any = first.model
    net.out = nn.Linear(24, 4)
    body = [p for name, p in net.named_parameters() if not name.startswith("out")]
    return Training(
        net,
        tasks.motifs(seed),
        torch.optim.AdamW([{"params": body, "lr": 1e-6}, {"params": net.out.parameters(), "lr": 1e-2}]),
        classify,
    )


CASES: list[Case] = [
    healthy("thawed-layer-by-layer", "fine-tuning", seeded(thawing), 90),
    healthy("pruned-units", "sparsity", seeded(pruned), 120),
    healthy("scales-only", "fine-tuning", seeded(scaled_only), 120),
    healthy("ensemble-of-eight", "ensembles", seeded(ensemble), 100),
    *[healthy(f"inner-{kind}", "meta learning", seeded(partial(inner, kind=kind)), 80) for kind in ("head", "rates")],
    *[healthy(f"resumed-{kind}", "fine-tuning", seeded(partial(resumed, kind=kind)), 40, falls=False) for kind in ("spirals", "motifs")],
    healthy("two-rates", "fine-tuning", seeded(two_rates), 60),
]  # fmt: skip
