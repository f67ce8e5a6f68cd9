"""Healthy: agents in small worlds of their own; their losses need not fall (IntelLabs/coach#214)."""

from __future__ import annotations

import copy
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.fifth.healthy_parts import by, dense, down, follow, named

N = 16


class Poles:
    """Sixteen carts with poles, as in the classical game; a pole that falls starts anew."""

    def __init__(self) -> None:
        self.s = 0.05 * torch.randn(N, 4)

    def step(self, deed: Tensor) -> tuple[Tensor, Tensor]:
        """Push left (0) or right (1); return where the carts are now, and which poles fell."""
        x, v, angle, w = self.s.unbind(1)
        force = 20.0 * deed.float() - 10.0
        pull = (force + 0.05 * w**2 * angle.sin()) / 1.1
        turn = (9.8 * angle.sin() - angle.cos() * pull) / (0.5 * (4 / 3 - 0.1 * angle.cos() ** 2 / 1.1))
        speed = pull - 0.05 * turn * angle.cos() / 1.1
        self.s = torch.stack([x + 0.02 * v, v + 0.02 * speed, angle + 0.02 * w, w + 0.02 * turn], 1)
        after, fell = self.s, (self.s[:, 0].abs() > 2.4) | (self.s[:, 2].abs() > 0.21)
        self.s = torch.where(fell[:, None], 0.05 * torch.randn(N, 4), self.s)
        return after, fell


def deep_q(seed: int) -> Training:
    """DQN's lesson: a memory, a soft target, Huber's loss, gradients clipped at 100 by value."""
    model: Any = nn.ModuleDict({"policy_net": dense(4, 2, 64)})
    model["target_net"] = copy.deepcopy(model["policy_net"]).requires_grad_(False)
    poles, memory = Poles(), []  # type: ignore[var-annotated]

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        for _ in range(4):
            s = poles.s
            with torch.no_grad():
                best = m["policy_net"](s).argmax(1)
            deed = torch.where(torch.rand(N) < max(0.1, 0.9 - number / 100), torch.randint(0, 2, (N,)), best)
            after, fell = poles.step(deed)
            memory.extend(zip(s, deed, after, fell, strict=True))
        rows = [memory[int(i)] for i in torch.randint(0, len(memory), (64,))]
        s, deed, after, fell = (torch.stack(each) for each in zip(*rows, strict=True))
        with torch.no_grad():
            goal = 1.0 + 0.9 * m["target_net"](after).amax(1) * (~fell).float()
        q = m["policy_net"](s).gather(1, deed[:, None])
        loss = F.smooth_l1_loss(q, goal[:, None])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(m["policy_net"].parameters(), 100)
        optimizer.step()
        follow(m["target_net"], m["policy_net"], 0.95)
        return loss

    optimizer = torch.optim.AdamW(model["policy_net"].parameters(), 3e-3, amsgrad=True)
    return Training(model, repeat(()), optimizer, train_step=step)


def returns(rewards: Tensor, fell: Tensor, last: Tensor, gamma: float = 0.95) -> Tensor:
    """Return what was earned from each time on, (T, N)."""
    out, kept = [], last
    for reward, end in zip(rewards.flip(0), fell.flip(0), strict=True):
        kept = reward + gamma * kept * (~end).float()
        out.append(kept)
    return torch.stack(out[::-1])


def played(poles: Poles, policy: Any, length: int) -> Any:
    """Return states, deeds and falls of a piece of play."""
    states, deeds, falls = [], [], []
    for _ in range(length):
        states.append(poles.s)
        with torch.no_grad():
            deeds.append(torch.distributions.Categorical(logits=policy(poles.s)).sample())
        falls.append(poles.step(deeds[-1])[1])
    return torch.stack(states), torch.stack(deeds), torch.stack(falls)


def reinforce(seed: int) -> Training:
    """REINFORCE with standardised returns: the loss is about zero for ever."""
    model, poles = dense(4, 2, 32, nn.ReLU, 1), Poles()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        states, deeds, fell = played(poles, net, 16)
        gain = returns(1.0 - 5.0 * fell.float(), fell, torch.zeros(N))
        gain = (gain - gain.mean()) / (gain.std() + 1e-8)
        logp = torch.distributions.Categorical(logits=net(states)).log_prob(deeds)
        return down(optimizer, -(logp * gain).mean())

    return Training(model, repeat(()), by("adam", model.parameters(), 1e-2), train_step=step)


def actor_critic(seed: int, clipped: bool) -> Training:
    """A2C, or PPO: several passes over one piece of play, ratios clipped."""
    body: Any = nn.ModuleDict({"pi": dense(4, 2, 32, nn.Tanh), "v": dense(4, 1, 32, nn.Tanh)})
    for net, gain in ((body["pi"], 0.01), (body["v"], 1.0)):
        for layer in net:
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight, gain if layer is net[-1] else 2**0.5)
                nn.init.zeros_(layer.bias)
    poles = Poles()

    def step(m: Any, optimizer: Any, batch: Any, number: int) -> Any:
        states, deeds, fell = played(poles, m["pi"], 8)
        with torch.no_grad():
            gain = returns(1.0 - 5.0 * fell.float(), fell, m["v"](poles.s)[:, 0])
            old = torch.distributions.Categorical(logits=m["pi"](states)).log_prob(deeds)
            better = gain - m["v"](states)[..., 0]
            better = (better - better.mean()) / (better.std() + 1e-8)
        for _ in range(3 if clipped else 1):
            now = torch.distributions.Categorical(logits=m["pi"](states))
            ratio = (now.log_prob(deeds) - old).exp()
            wish = torch.minimum(ratio * better, ratio.clamp(0.8, 1.2) * better) if clipped else ratio * better
            loss = -wish.mean() + 0.5 * F.mse_loss(m["v"](states)[..., 0], gain) - 0.01 * now.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(m.parameters(), 0.5)
            optimizer.step()
        return loss

    way = "adam" if clipped else "rmsprop"
    return Training(body, repeat(()), by(way, body.parameters(), 3e-3 if clipped else 7e-4), train_step=step)


def room(s: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Return the reward and the state that follows: one is to stay in the middle of a room."""
    after = 0.9 * s + 0.5 * a + 0.05 * torch.randn_like(s)
    return -after.square().sum(1, keepdim=True), after


def ddpg(seed: int) -> Training:
    """DDPG: deeds through tanh, last layers near zero at first, slow targets of both."""
    pi, q = nn.Sequential(dense(2, 2, 48), nn.Tanh()), dense(4, 1, 48)
    for layer in (pi[0][-1], q[-1]):  # type: ignore[index]
        nn.init.uniform_(layer.weight, -3e-3, 3e-3)  # type: ignore[arg-type]
    model: Any = nn.ModuleDict({"pi": pi, "q": q})
    slow = copy.deepcopy(model).requires_grad_(False)
    two = [by("adam", pi.parameters(), 1e-3), torch.optim.Adam(q.parameters(), 5e-3, weight_decay=1e-4)]

    def step(m: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        s = 1.5 * torch.randn(64, 2)
        a = (m["pi"](s).detach() + 0.4 * torch.randn(64, 2)).clamp(-1, 1)
        reward, after = room(s, a)
        with torch.no_grad():
            goal = reward + 0.9 * slow["q"](torch.cat([after, slow["pi"](after)], 1))
        loss = F.mse_loss(m["q"](torch.cat([s, a], 1)), goal)
        down(optimizers[1], loss)
        down(optimizers[0], -m["q"](torch.cat([s, m["pi"](s)], 1)).mean())
        follow(slow, m, 0.95)
        return loss

    return Training(model, repeat(()), two, train_step=step)


def soft(seed: int) -> Training:
    """SAC, whose temperature is learned too; the critics' losses may rise (toshikwa/sac-discrete.pytorch#12)."""
    model: Any = nn.ModuleDict({"pi": dense(2, 3, 48), "q1": dense(2, 3, 48), "q2": dense(2, 3, 48)})
    model.log_alpha = nn.Parameter(torch.zeros(()))
    slow = copy.deepcopy(model).requires_grad_(False)
    deeds = torch.tensor([[0.0, 0.0], [0.6, 0.6], [-0.6, -0.6]])
    qs = [*model["q1"].parameters(), *model["q2"].parameters()]
    all_ = [by("adam", model["pi"].parameters(), 1e-3), by("adam", qs, 1e-3), by("adam", [model.log_alpha], 3e-3)]

    def step(m: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        s, alpha = torch.randn(64, 2), m.log_alpha.exp().detach()
        a = torch.distributions.Categorical(logits=m["pi"](s)).sample().detach()
        reward, after = room(s, deeds[a])
        with torch.no_grad():
            logp = m["pi"](after).log_softmax(1)
            worth = torch.minimum(slow["q1"](after), slow["q2"](after)) - alpha * logp
            goal = reward + 0.9 * (logp.exp() * worth).sum(1, keepdim=True)
        q1, q2 = (m[name](s).gather(1, a[:, None]) for name in ("q1", "q2"))
        loss = F.mse_loss(q1, goal) + F.mse_loss(q2, goal)
        down(optimizers[1], loss)
        logp = m["pi"](s).log_softmax(1)
        worth = torch.minimum(m["q1"](s), m["q2"](s)).detach()
        down(optimizers[0], (logp.exp() * (alpha * logp - worth)).sum(1).mean())
        entropy = -(logp.exp() * logp).sum(1).detach()
        down(optimizers[2], (m.log_alpha.exp() * (entropy - 0.7)).mean())
        follow(slow, m, 0.98)
        return loss

    return Training(model, repeat(()), all_, train_step=step)


def grouped(seed: int) -> Training:
    """GRPO in small: eight answers a question, judged against each other; signs change (lsdefine/simple_GRPO#30)."""
    model = nn.Sequential(nn.Embedding(12, 32), nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 12))
    before = copy.deepcopy(model).requires_grad_(False).eval()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Any:
        asked = torch.randint(0, 12, (16,))
        with torch.no_grad():
            said = torch.distributions.Categorical(logits=net(asked)).sample((8,))
        reward = (said == (5 * asked + 1) % 12).float() + 0.1 * (said % 2 == 0).float()
        gain = (reward - reward.mean(0)) / (reward.std(0) + 1e-4)
        logits = net(asked)
        logp = torch.distributions.Categorical(logits=logits).log_prob(said)
        ratio = (before(asked).log_softmax(1).expand(8, -1, -1).gather(2, said[..., None])[..., 0] - logp).exp()
        drift = ratio - ratio.log() - 1
        return down(optimizer, -((logp - logp.detach()).exp() * gain - 0.02 * drift).mean())

    return Training(model, repeat(()), by("adamw", model.parameters(), 5e-3), train_step=step)


CASES: list[Case] = [
    named("deep-q-lesson", "reinforcement", deep_q, 200, falls=False),
    named("reinforce-poles", "reinforcement", reinforce, 60, falls=False),
    named("a2c-poles", "reinforcement", actor_critic, 80, falls=False, clipped=False),
    named("ppo-poles", "reinforcement", actor_critic, 60, falls=False, clipped=True),
    named("ddpg-room", "reinforcement", ddpg, 200, falls=False),
    named("soft-actor-critic", "reinforcement", soft, 120, falls=False),
    named("answers-in-groups", "reinforcement", grouped, 100, falls=False),
]
