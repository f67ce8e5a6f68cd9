"""Healthy agents: values of several kinds in four by four rooms, PPO of numbers, a bandit."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training, healthy, seeded
from benchmarks.doctor.nets import mlp
from benchmarks.doctor.second.common import by, looped
from benchmarks.doctor.third.tasks import Net


class Rooms:
    """Sixteen walkers in four by four rooms; the reward is in the last room, where a walk ends and begins anew."""

    def __init__(self) -> None:
        self.at = torch.randint(0, 15, (16,))

    def see(self) -> Tensor:
        """Return in which room each is."""
        return F.one_hot(self.at, 16).float()

    def step(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Go one of four ways; return reward and end."""
        row, column = self.at // 4, self.at % 4
        row = (row + torch.tensor([1, -1, 0, 0])[action]).clamp(0, 3)
        column = (column + torch.tensor([0, 0, 1, -1])[action]).clamp(0, 3)
        self.at = 4 * row + column
        end = self.at == 15
        self.at = torch.where(end, torch.randint(0, 15, (16,)), self.at)
        return end.float() - 0.02, end.float()


def by_value(seed: int, kind: str) -> Training:
    """Q-learning of three steps, of a distribution of returns (quantiles), or conservative (CQL); the target follows softly."""
    atoms = 11 if kind == "quantiles" else 1
    model: Any = nn.ModuleDict(
        {"now": mlp(16, 4 * atoms, 48, 1), "slow": mlp(16, 4 * atoms, 48, 1).requires_grad_(False)}
    )
    model["slow"].load_state_dict(model["now"].state_dict())
    world, memory = Rooms(), []  # type: ignore[var-annotated]

    def values(net: Any, seen: Tensor) -> Tensor:
        return net(seen).view(-1, 4, atoms)

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        for _ in range(3):
            seen = world.see()
            with torch.no_grad():
                action = values(m["now"], seen).mean(2).argmax(1)
            action = torch.where(torch.rand(16) < 0.3, torch.randint(0, 4, (16,)), action)
            memory.append((seen, action, *world.step(action), world.see()))
        s, a, r, end, after = (
            torch.cat(part) for part in zip(*[memory[int(n)] for n in torch.randint(0, len(memory), (4,))], strict=True)
        )
        rows = torch.arange(len(a))
        with torch.no_grad():
            later = values(m["slow"], after)
            goal = r[:, None] + 0.9 * (1 - end[:, None]) * later[rows, later.mean(2).argmax(1)]
        out = values(m["now"], s)
        miss = goal[:, None, :] - out[rows, a][:, :, None]
        level = ((torch.arange(atoms) + 0.5) / atoms)[:, None]
        loss = (
            (level - (miss < 0).float()).abs() * F.huber_loss(miss, torch.zeros_like(miss), reduction="none")
        ).mean()
        if kind == "conservative":
            q = out[..., 0]
            loss = loss + 0.1 * (q.logsumexp(1) - q[rows, a]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(m["slow"].parameters()), list(m["now"].parameters()), 0.05)
        return loss

    return Training(model, repeat(()), by("adam", 3e-3, model["now"].parameters()), train_step=step)


def gaussian_ppo(seed: int) -> Training:
    """PPO with a continuous action of two numbers, a free logarithm of its deviation, and a critic of its own."""
    model: Any = Net(
        lambda m, x: (m.actor(x), m.critic(x)[:, 0]),
        actor=mlp(4, 2, 32, 2, nn.Tanh),
        critic=mlp(4, 1, 32, 2, nn.Tanh),
        log=nn.Parameter(torch.zeros(2)),
    )
    with torch.no_grad():
        model.actor[-1].weight.mul_(0.01)

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        seen = torch.randn(128, 4)
        with torch.no_grad():
            mean, value = m(seen)
            old = torch.distributions.Normal(mean, m.log.exp())
            action = old.sample()
            before = old.log_prob(action).sum(1)
            got = -(action - torch.tanh(seen[:, :2])).square().sum(1)
            gain = got - value
            gain = (gain - gain.mean()) / gain.std()
        for rows in torch.randperm(128).chunk(4):
            mean, value = m(seen[rows])
            normal = torch.distributions.Normal(mean, m.log.exp())
            ratio = (normal.log_prob(action[rows]).sum(1) - before[rows]).exp()
            loss = -torch.minimum(ratio * gain[rows], ratio.clamp(0.8, 1.2) * gain[rows]).mean() + 0.5 * F.mse_loss(
                value, got[rows]
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(m.parameters(), 0.5)
            optimizer.step()
        return -got.mean()

    return looped(model, repeat(()), step, "adam", 5e-3)


def bandit(seed: int) -> Training:
    """REINFORCE in a contextual bandit, with a moving baseline: the loss is no measure of anything."""
    model, mean = mlp(6, 4, 24, 1), [0.0]
    best = torch.randn(6, 4)

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x = torch.randn(48, 6)
        choice = torch.distributions.Categorical(logits=m(x))
        action = choice.sample()
        got = ((x @ best).argmax(1) == action).float()
        loss = -(choice.log_prob(action) * (got - mean[0])).mean() - 0.01 * choice.entropy().mean()
        mean[0] += 0.1 * (float(got.mean()) - mean[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return looped(model, repeat(()), step, "adam", 1e-2)


CASES: list[Case] = [
    *[healthy(f"q-{kind}", "reinforcement", seeded(partial(by_value, kind=kind)), 100, falls=False) for kind in ("quantiles", "plain", "conservative")],
    healthy("ppo-gaussian", "reinforcement", seeded(gaussian_ppo), 60),
    healthy("bandit", "reinforcement", seeded(bandit), 100, falls=False),
]  # fmt: skip
