"""Healthy agents: deep Q-learning with replay, policy gradients, actor-critics, PPO, continuous control, imitation."""
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


class Corridor:
    """Sixteen walkers in a corridor of nine places, at the end of which stands a reward; ten steps, then anew."""

    def __init__(self, many: int = 16) -> None:
        self.place, self.left = torch.randint(0, 8, (many,)), torch.randint(1, 11, (many,))

    def see(self) -> Tensor:
        """Return where each walker is, as one of nine."""
        return F.one_hot(self.place, 9).float()

    def step(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Move left (0) or right (1); return rewards and who is done."""
        self.place = (self.place + 2 * action - 1).clamp(0, 8)
        self.left = self.left - 1
        reward = (self.place == 8).float()
        done = (self.place == 8) | (self.left <= 0)
        self.place = torch.where(done, torch.randint(0, 8, self.place.shape), self.place)
        self.left = torch.where(done, torch.full_like(self.left, 10), self.left)
        return reward, done.float()


def deep_q(seed: int, double: bool = False, every: int = 10, dueling: bool = False) -> Training:
    """DQN's tutorial: replay, a target net copied now and then (or followed softly), Huber's loss, clipped values."""
    make = Dueling if dueling else partial(mlp, 9, 2, 32, 2)
    model = nn.ModuleDict({"policy": make(), "target": make()})
    model["target"].load_state_dict(model["policy"].state_dict())
    world, memory = Corridor(), []  # type: ignore[var-annotated]

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        seen = world.see()
        with torch.no_grad():
            action = net["policy"](seen).argmax(1)
        action = torch.where(
            torch.rand(len(seen)) < max(0.1, 0.9 - number / 60), torch.randint(0, 2, (len(seen),)), action
        )
        reward, done = world.step(action)
        memory.append((seen, action, reward, world.see(), done))
        drawn = [memory[int(n)] for n in torch.randint(0, len(memory), (4,))]
        s, a, r, after, over = (torch.cat(part) for part in zip(*drawn, strict=True))
        with torch.no_grad():
            later = net["target"](after)
            best = later.gather(1, net["policy"](after).argmax(1, keepdim=True))[:, 0] if double else later.amax(1)
        loss = F.smooth_l1_loss(net["policy"](s).gather(1, a[:, None])[:, 0], r + 0.9 * (1 - over) * best)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(net["policy"].parameters(), 100)
        optimizer.step()
        if every and number % every == 0:
            net["target"].load_state_dict(net["policy"].state_dict())
        elif not every:
            with torch.no_grad():
                for slow, fast in zip(net["target"].parameters(), net["policy"].parameters(), strict=True):
                    slow.lerp_(fast, 0.05)
        return loss

    return Training(model, repeat(()), by("adamw", 3e-3, model["policy"].parameters()), train_step=step)


class Dueling(nn.Module):
    """Value and advantages apart."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.value, self.gain = nn.Linear(9, 32), nn.Linear(32, 1), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.body(x))
        gain = self.gain(h)
        return self.value(h) + gain - gain.mean(1, keepdim=True)


def walk(policy: Any, world: Corridor, steps: int = 10) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what was seen, done, and got in some steps (T, B, ...), and the discounted sums."""
    seen, acted, got, over = [], [], [], []
    for _ in range(steps):
        seen.append(world.see())
        with torch.no_grad():
            acted.append(torch.distributions.Categorical(logits=policy(seen[-1])).sample())
        reward, done = world.step(acted[-1])
        got.append(reward)
        over.append(done)
    sums, later = [], torch.zeros(len(seen[0]))
    for reward, done in zip(reversed(got), reversed(over), strict=True):
        later = reward + 0.9 * (1 - done) * later
        sums.append(later)
    return (
        torch.stack(seen).flatten(0, 1),
        torch.stack(acted).flatten(),
        torch.stack(got),
        torch.stack(sums[::-1]).flatten(),
    )


def reinforce(seed: int, standardised: bool = True) -> Training:
    """The examples' REINFORCE: returns standardised in the batch, or less their mean."""
    model, world = mlp(9, 2, 32, 1), Corridor()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        seen, acted, _, sums = walk(net, world)
        gain = (sums - sums.mean()) / (sums.std() + 1e-6 if standardised else 1.0)
        loss = -(torch.distributions.Categorical(logits=net(seen)).log_prob(acted) * gain).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return looped(model, repeat(()), step, "adam", 1e-2)


class Both(nn.Module):
    """One body, a policy and a value."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.policy, self.value = (
            nn.Sequential(nn.Linear(9, 32), nn.Tanh()),
            nn.Linear(32, 2),
            nn.Linear(32, 1),
        )
        nn.init.orthogonal_(self.policy.weight, 0.01)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.policy(h), self.value(h)[:, 0]


def actor_critic(seed: int) -> Training:
    """A2C on one body: policy, value and entropy in one loss, clipped by norm."""
    model, world = Both(), Corridor()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        seen, acted, _, sums = walk(lambda x: net(x)[0], world, 5)
        logits, value = net(seen)
        chances = torch.distributions.Categorical(logits=logits)
        gain = (sums - value).detach()
        loss = (
            -(chances.log_prob(acted) * gain).mean() + 0.5 * F.mse_loss(value, sums) - 0.01 * chances.entropy().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        return loss

    return looped(model, repeat(()), step, "rmsprop", 1e-3)


def proximal(seed: int) -> Training:
    """PPO: several steps on the same walk, with the ratio clipped."""
    model, world = Both(), Corridor()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        seen, acted, _, sums = walk(lambda x: net(x)[0], world)
        with torch.no_grad():
            logits, value = net(seen)
            old = torch.distributions.Categorical(logits=logits).log_prob(acted)
            gain = sums - value
            gain = (gain - gain.mean()) / (gain.std() + 1e-8)
        loss = torch.zeros(())
        for rows in torch.randperm(len(seen)).chunk(4):
            logits, value = net(seen[rows])
            chances = torch.distributions.Categorical(logits=logits)
            ratio = (chances.log_prob(acted[rows]) - old[rows]).exp()
            clipped = torch.minimum(ratio * gain[rows], ratio.clamp(0.8, 1.2) * gain[rows]).mean()
            loss = -clipped + 0.5 * F.mse_loss(value, sums[rows]) - 0.01 * chances.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
        return loss

    return looped(model, repeat(()), step, "adam", 3e-3)


def continuous(seed: int) -> Training:
    """DDPG on one step: the critic learns the reward, the actor climbs the critic; a tanh bounds the action."""
    model = nn.ModuleDict({"actor": nn.Sequential(mlp(4, 1, 32, 2), nn.Tanh()), "critic": mlp(5, 1, 32, 2)})
    pair = [by("adam", 1e-3, model["actor"].parameters()), by("adam", 5e-3, model["critic"].parameters())]

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        seen = torch.randn(64, 4)
        with torch.no_grad():
            action = (net["actor"](seen) + 0.3 * torch.randn(64, 1)).clamp(-1, 1)
        reward = -(action - 0.5 * torch.tanh(seen[:, :1])).square()
        optimizers[1].zero_grad()
        loss = F.mse_loss(net["critic"](torch.cat((seen, action), 1)), reward)
        loss.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        (-net["critic"](torch.cat((seen, net["actor"](seen)), 1))).mean().backward()
        optimizers[0].step()
        return loss

    return Training(model, repeat(()), pair, train_step=step)


def soft_critic(seed: int) -> Training:
    """SAC on one step: two critics, a squashed normal, a learned temperature with an optimiser of its own."""
    model = nn.ModuleDict({"actor": mlp(4, 2, 32, 2), "one": mlp(5, 1, 32, 2), "two": mlp(5, 1, 32, 2)})
    model.register_parameter("warmth", nn.Parameter(torch.tensor(-1.0)))
    critics = [*model["one"].parameters(), *model["two"].parameters()]
    three = [by("adam", 3e-3, model["actor"].parameters()), by("adam", 5e-3, critics), by("adam", 1e-2, [model.warmth])]

    def act(net: Any, seen: Tensor) -> tuple[Tensor, Tensor]:
        mean, log = net["actor"](seen).chunk(2, 1)
        normal = torch.distributions.Normal(mean, log.clamp(-4, 1).exp())
        raw = normal.rsample()
        return torch.tanh(raw), normal.log_prob(raw) - torch.log(1 - torch.tanh(raw).square() + 1e-6)

    def step(net: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        seen = torch.randn(64, 4)
        with torch.no_grad():
            action = act(net, seen)[0]
        reward = -(action - torch.tanh(seen[:, :1])).square()
        both = torch.cat((seen, action), 1)
        loss = F.mse_loss(net["one"](both), reward) + F.mse_loss(net["two"](both), reward)
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        action, log = act(net, seen)
        both = torch.cat((seen, action), 1)
        optimizers[0].zero_grad()
        (net.warmth.exp().detach() * log - torch.minimum(net["one"](both), net["two"](both))).mean().backward()
        optimizers[0].step()
        optimizers[2].zero_grad()
        (-net.warmth * (log.detach() - 1.0).mean()).backward()
        optimizers[2].step()
        return loss

    return Training(model, repeat(()), three, train_step=step)


def curious(seed: int) -> Training:
    """Random network distillation: a net foretells another that never learns."""
    model = nn.ModuleDict({"guess": mlp(9, 8, 32, 2), "fixed": mlp(9, 8, 32, 1).requires_grad_(False)})
    world = Corridor(32)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        world.step(torch.randint(0, 2, (32,)))
        seen = world.see()
        loss = F.mse_loss(net["guess"](seen), net["fixed"](seen))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return looped(model, repeat(()), step, "adam", 3e-3)


def imitates(seed: int) -> Training:
    """Behaviour is cloned from an expert that walks to the right, but left at the first place."""
    model, world = mlp(9, 2, 32, 2, nn.Tanh), Corridor(32)

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        seen = world.see()
        expert = (world.place > 0).long()
        world.step(torch.randint(0, 2, (32,)))
        loss = F.cross_entropy(net(seen), expert)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return looped(model, repeat(()), step, "adam", 5e-3)


CASES: list[Case] = [
    healthy("dqn-copied", "reinforcement", seeded(deep_q), 100, falls=False),
    healthy("dqn-soft-double", "reinforcement", seeded(partial(deep_q, double=True, every=0)), 100, falls=False),
    healthy("dqn-dueling", "reinforcement", seeded(partial(deep_q, dueling=True, every=0)), 100, falls=False),
    healthy("reinforce-corridor", "reinforcement", seeded(reinforce), 60, falls=False),
    healthy("reinforce-mean-baseline", "reinforcement", seeded(partial(reinforce, standardised=False)), 60, falls=False),
    healthy("a2c", "reinforcement", seeded(actor_critic), 60, falls=False),
    healthy("ppo", "reinforcement", seeded(proximal), 30, falls=False),
    healthy("ddpg", "reinforcement", seeded(continuous), 80, falls=False),
    healthy("sac", "reinforcement", seeded(soft_critic), 80, falls=False),
    healthy("random-distillation", "reinforcement", seeded(curious), 80),
    healthy("behaviour-cloned", "reinforcement", seeded(imitates), 60),
]  # fmt: skip
