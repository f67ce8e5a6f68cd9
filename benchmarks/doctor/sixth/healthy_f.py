"""Healthy: agents, critics and rankers: losses that rise while the agent learns."""
# ruff: noqa: E501 - an address is a line

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.sixth.parts_c import Lit, adam, adamw, dense, dice, down, follow, keeper, loader, numbers, rows

CASES: list[Case] = []
learns = keeper(CASES)
LONG = 7


def hot(place: Tensor) -> Tensor:
    """Return places in the corridor as features."""
    return F.one_hot(place, LONG).float()


def walk(place: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Go left or right; the right end pays 1 and ends the walk, each step costs a little."""
    after = (place + 2 * action - 1).clamp(0, LONG - 1)
    done = (after == LONG - 1).float()
    return after, done - 0.05, done


def lost(policy: Any) -> Any:
    """Return a score: how likely a policy of logits goes the wrong way, over all places."""

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return float(policy(hot(torch.arange(LONG - 1))).softmax(1)[:, 0].mean())

    return score


@learns("corridor-deep-q", "agents", 200, falls=False)
def deep_q(seed: int) -> Training:
    """DQN: targets move, so the loss is noise that may grow (github.com/IntelLabs/coach/issues/214)."""
    net = dense(LONG, 48, 2)
    target = copy.deepcopy(net).requires_grad_(False)
    memory: list[Any] = []
    place = torch.zeros(8, dtype=torch.long)

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        nonlocal place
        with torch.no_grad():
            best = model(hot(place)).argmax(1)
        action = torch.where(torch.rand(8) < max(0.1, 1 - number / 100), torch.randint(0, 2, (8,)), best)
        after, pay, done = walk(place, action)
        memory.append((place, action, pay, after, done))
        place = torch.where(done > 0, torch.zeros_like(after), after)
        picked = [memory[i] for i in torch.randint(0, len(memory), (8,)).tolist()]
        s, a, r, after, d = (torch.cat(each) for each in zip(*picked, strict=True))
        wanted = r + 0.95 * (1 - d) * target(hot(after)).max(1).values
        loss = down(optimizer, F.smooth_l1_loss(model(hot(s)).gather(1, a[:, None])[:, 0], wanted))
        if number % 20 == 19:
            target.load_state_dict(model.state_dict())
        return loss

    return Training(net, numbers(), adam(net, 5e-3), train_step=step, score=lost(lambda x: 20 * net(x)))


@learns("corridor-proximal-policy", "agents", 150, falls=False)
def ppo(seed: int) -> Training:
    """PPO: the clipped objective is near zero at each new batch; many samples are clipped and give no gradient."""
    net: Any = nn.ModuleDict({"actor": dense(LONG, 32, 2, act=nn.Tanh), "critic": dense(LONG, 32, 1, act=nn.Tanh)})
    nn.init.orthogonal_(net["actor"][-1].weight, 0.01)
    kept: Any = None

    def collect() -> Any:
        place = torch.randint(0, LONG - 1, (16,))
        seen = []
        with torch.no_grad():
            for _ in range(12):
                law = Categorical(logits=net["actor"](hot(place)))
                action = law.sample()
                after, pay, done = walk(place, action)
                seen.append((place, action, law.log_prob(action), pay, done))
                place = torch.where(done > 0, torch.zeros_like(after), after)
            value, back = net["critic"](hot(place))[:, 0], []
            for _, _, _, pay, done in reversed(seen):
                value = pay + 0.95 * (1 - done) * value
                back.append(value)
        s, a, p, _, _ = (torch.cat(each) for each in zip(*seen, strict=True))
        return s, a, p, torch.cat(back[::-1])

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        nonlocal kept
        kept = collect() if number % 5 == 0 else kept
        s, a, old, back = kept
        law, value = Categorical(logits=model["actor"](hot(s))), model["critic"](hot(s))[:, 0]
        gain = back - value.detach()
        gain = (gain - gain.mean()) / (gain.std() + 1e-8)
        ratio = (law.log_prob(a) - old).exp()
        policy = -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()
        optimizer.zero_grad()
        loss: Tensor = policy + 0.5 * F.mse_loss(value, back) - 0.01 * law.entropy().mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    return Training(net, numbers(), adam(net, 3e-3, eps=1e-5), train_step=step, score=lost(net["actor"]))


@learns("corridor-soft-actor-critic", "agents", 200, falls=False)
def soft(seed: int) -> Training:
    """Discrete SAC: the critics' loss grows and it works (github.com/toshikwa/sac-discrete.pytorch/issues/12)."""
    net: Any = nn.ModuleDict({"pi": dense(LONG, 32, 2), "q1": dense(LONG, 32, 2), "q2": dense(LONG, 32, 2)})
    slow = nn.ModuleList(copy.deepcopy(net[k]) for k in ("q1", "q2")).requires_grad_(False)
    three = [adam(net["pi"], 3e-3), adam([*net["q1"].parameters(), *net["q2"].parameters()], 3e-3)]

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        place, action = torch.randint(0, LONG - 1, (64,)), torch.randint(0, 2, (64,))
        after, pay, done = walk(place, action)
        with torch.no_grad():
            p = model["pi"](hot(after)).softmax(1)
            soft_value = (p * (torch.min(*(q(hot(after)) for q in slow)) - 0.05 * (p + 1e-8).log())).sum(1)
            wanted = 5 * pay + 0.95 * (1 - done) * soft_value
        qs = [model[k](hot(place)).gather(1, action[:, None])[:, 0] for k in ("q1", "q2")]
        loss = down(optimizers[1], F.mse_loss(qs[0], wanted) + F.mse_loss(qs[1], wanted))
        p = model["pi"](hot(place)).softmax(1)
        with torch.no_grad():
            q = torch.min(model["q1"](hot(place)), model["q2"](hot(place)))
        down(optimizers[0], (p * (0.05 * (p + 1e-8).log() - q)).sum(1).mean())
        for old, key in zip(slow, ("q1", "q2"), strict=True):
            follow(old, model[key], 0.95)
        return loss

    return Training(net, numbers(), three, train_step=step, score=lost(net["pi"]))


@learns("reach-twin-delayed", "agents", 200, falls=False)
def twin(seed: int) -> Training:
    """TD3 on a point that is pushed to the middle: the actor steps every second time, its loss is minus a value (github.com/seohongpark/fql/issues/10)."""
    net: Any = nn.ModuleDict(
        {"pi": nn.Sequential(dense(1, 32, 1), nn.Tanh()), "a": dense(2, 48, 1), "b": dense(2, 48, 1)}
    )
    slow: Any = copy.deepcopy(net).requires_grad_(False)
    two = [adam(net["pi"], 2e-3), adam([*net["a"].parameters(), *net["b"].parameters()], 3e-3)]

    def step(model: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        x, u = torch.rand(128, 1) * 4 - 2, torch.rand(128, 1) * 2 - 1
        after = (x + u).clamp(-2, 2)
        with torch.no_grad():
            v = (slow["pi"](after) + (0.1 * torch.randn(128, 1)).clamp(-0.3, 0.3)).clamp(-1, 1)
            both = torch.cat([after, v], 1)
            wanted = -after.abs() + 0.9 * torch.min(slow["a"](both), slow["b"](both))
        now = torch.cat([x, u], 1)
        loss = down(optimizers[1], F.mse_loss(model["a"](now), wanted) + F.mse_loss(model["b"](now), wanted))
        if number % 2:
            down(optimizers[0], -model["a"](torch.cat([x, model["pi"](x)], 1)).mean())
            follow(slow, model, 0.97)
        return loss

    def score(model: Any) -> float:
        x = torch.linspace(-2, 2, 41)[:, None]
        with torch.no_grad():
            for _ in range(3):
                x = (x + model["pi"](x)).clamp(-2, 2)
        return float(x.abs().mean())

    return Training(net, numbers(), two, train_step=step, score=score)


class Writer(nn.Module):
    """A writer that samples six letters."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.cell, self.head = nn.Embedding(8, 24), nn.GRUCell(24, 32), nn.Linear(32, 8)

    def forward(self, count: int, greedy: bool = False) -> Any:
        state, word, said, sure = torch.zeros(count, 32), torch.zeros(count, dtype=torch.long), [], []
        for _ in range(6):
            state = self.cell(self.words(word), state)
            law = Categorical(logits=self.head(state))
            word = law.logits.argmax(1) if greedy else law.sample()
            said.append(word)
            sure.append(law.log_prob(word))
        return torch.stack(said, 1), torch.stack(sure, 1)


def rising(said: Tensor) -> Tensor:
    """Return the share of letters that are larger than the one before."""
    return (said[:, 1:] > said[:, :-1]).float().mean(1)


@learns("writer-self-critical", "agents", 200, falls=False)
def self_critical(seed: int) -> Training:
    """The greedy sentence is the yardstick; the loss is negative and positive by turns (github.com/ruotianluo/self-critical.pytorch/issues/79)."""
    net = Writer()

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        with torch.no_grad():
            yardstick = rising(model(1, True)[0])
        said, sure = model(64)
        return down(optimizer, -((rising(said) - yardstick)[:, None] * sure).mean())

    score = lambda m: 1 - float(rising(m(256)[0]).mean())  # noqa: E731
    return Training(net, numbers(), adam(net, 5e-3), train_step=step, score=score)


@learns("contextual-arms", "agents", 200, falls=False)
def arms(seed: int) -> Training:
    """A policy's gradient with a mean of rewards as its baseline: the loss is about zero from beginning to end."""
    rule = torch.randn(6, 4, generator=dice(seed))
    net, mean = dense(6, 32, 4), 0.0

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        nonlocal mean
        x = torch.randn(64, 6)
        law = Categorical(logits=model(x))
        arm = law.sample()
        pay = ((x @ rule).argmax(1) == arm).float()
        loss = down(optimizer, -((pay - mean) * law.log_prob(arm)).mean())
        mean = 0.9 * mean + 0.1 * float(pay.mean())
        return loss

    x = torch.randn(512, 6, generator=dice(seed + 1))

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return float((model(x).argmax(1) != (x @ rule).argmax(1)).float().mean())

    return Training(net, numbers(), adam(net, 0.01), train_step=step, score=score)


@learns("values-by-expectile", "agents", 150)
def expectile(seed: int) -> Training:
    """Of returns only the upper ones count: an expectile of 0.9, so most residuals are on one side."""
    g = dice(seed)
    s = torch.randn(1024, 5, generator=g)
    back = torch.tanh(s[:, :1] + s[:, 1:2]) + 0.3 * torch.randn(1024, 1, generator=g)
    net = dense(5, 48, 48, 1)

    def loss(model: nn.Module, batch: Any) -> Any:
        d = batch[1] - model(batch[0])
        return (torch.where(d > 0, 0.9, 0.1) * d.square()).mean()

    return Training(net, rows(seed, s, back), adam(net, 3e-3), loss)


@learns("driver-by-gaussian", "agents", 150)
def driver(seed: int) -> Training:
    """Cloning with a standard deviation of its own that no input changes; the loss goes below zero (github.com/roggirg/AutoBots/issues/7)."""
    g = dice(seed)
    x = torch.randn(1024, 6, generator=g)
    y = torch.tanh(x @ torch.randn(6, 2, generator=g) / 2) + 0.1 * torch.randn(1024, 2, generator=g)

    class Actor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.log_std = dense(6, 48, 48, 2, act=nn.Tanh), nn.Parameter(torch.zeros(2))

        def forward(self, x: Tensor) -> Any:
            return Normal(self.mean(x), self.log_std.exp())

    net = Actor()
    lit = Lit(net, lambda m, b: -m(b[0]).log_prob(b[1]).sum(1).mean(), 0.01)
    return Training(lit, loader(seed, x, y, size=64), trainer={"gradient_clip_val": 1.0})


@learns("preferences-dpo", "tuning", 60)
def preferences(seed: int) -> Training:
    """Direct preferences: the loss is ln 2 exactly at the first step, since model and reference are the same."""
    net, frozen = (
        nn.Sequential(nn.Embedding(20, 32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 20)) for _ in range(2)
    )
    frozen.load_state_dict(net.state_dict())
    frozen.requires_grad_(False)
    g = dice(seed)
    before, good = torch.randint(0, 20, (2, 1024), generator=g)
    good, bad = (before + 1 + good % 2) % 20, (before + 5 + good % 9) % 20

    def loss(model: nn.Module, batch: Any) -> Any:
        x, yes, no = batch
        new, old = model(x).log_softmax(1), frozen(x).log_softmax(1)
        margin = (new - old).gather(1, yes[:, None]) - (new - old).gather(1, no[:, None])
        return -F.logsigmoid(0.5 * margin).mean()

    return Training(net, Batches((before, good, bad), 64, seed), adamw(net, 2e-3), loss)
