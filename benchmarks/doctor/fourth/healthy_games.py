"""Healthy games and agents: their losses need not fall."""

from __future__ import annotations

import copy
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import digits
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import script


def block(inputs: int, outputs: int, hidden: int = 48, act: Any = nn.ReLU) -> nn.Sequential:
    """Return one hidden layer between two linear ones."""
    return nn.Sequential(nn.Linear(inputs, hidden), act(), nn.Linear(hidden, outputs))


def info_gan(seed: int) -> Training:
    """InfoGAN: the judge also tells the code that the maker was given."""
    model = nn.ModuleDict(
        {"G": block(6, 2), "D": block(2, 32, act=nn.LeakyReLU), "adv": nn.Linear(32, 1), "q": nn.Linear(32, 2)}
    )
    opt_g = torch.optim.Adam([*model["G"].parameters(), *model["q"].parameters()], 1e-3, (0.5, 0.999))
    opt_d = torch.optim.Adam([*model["D"].parameters(), *model["adv"].parameters()], 2e-4, (0.5, 0.999))
    bce = nn.BCEWithLogitsLoss()

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        real, n = batch[0], len(batch[0])
        code = torch.randint(0, 2, (n,))
        fake = m["G"](torch.cat([torch.randn(n, 4), F.one_hot(code, 2).float()], 1))
        opts[1].zero_grad()
        d_loss = bce(m["adv"](F.leaky_relu(m["D"](real))), torch.full((n, 1), 0.9))
        d_loss = d_loss + bce(m["adv"](F.leaky_relu(m["D"](fake.detach()))), torch.zeros(n, 1))
        d_loss.backward()
        opts[1].step()
        opts[0].zero_grad()
        h = F.leaky_relu(m["D"](fake))
        g_loss = bce(m["adv"](h), torch.ones(n, 1)) + F.cross_entropy(m["q"](h), code)
        g_loss.backward()
        opts[0].step()
        return g_loss

    return Training(model, data.rings(seed), [opt_g, opt_d], train_step=step)


def pix2pix(seed: int) -> Training:
    """A picture from a noisy one, judged patch by patch beside it, with a large weight on the absolute error."""
    g = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.InstanceNorm2d(16), nn.ReLU(), nn.Conv2d(16, 3, 3, 1, 1))
    d = nn.Sequential(nn.Conv2d(6, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 1, 4, 2, 1))
    model = nn.ModuleDict({"netG": g, "netD": d})
    opts = [torch.optim.Adam(net.parameters(), 2e-3, (0.5, 0.999)) for net in (g, d)]

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        a, b = batch
        fake = m["netG"](a)
        for p in m["netD"].parameters():
            p.requires_grad = True
        opts[1].zero_grad()
        bad, good = m["netD"](torch.cat([a, fake.detach()], 1)), m["netD"](torch.cat([a, b], 1))
        (0.5 * (bad.square().mean() + (good - 1).square().mean())).backward()
        opts[1].step()
        for p in m["netD"].parameters():
            p.requires_grad = False
        opts[0].zero_grad()
        loss = (m["netD"](torch.cat([a, fake], 1)) - 1).square().mean() + 10 * F.l1_loss(fake, b)
        loss.backward()
        opts[0].step()
        return loss

    return Training(model, data.grainy(seed), opts, train_step=step)


def bi_gan(seed: int) -> Training:
    """A maker and a reader against one judge of pairs; both learn at once from one loss."""
    model = nn.ModuleDict({"dec": block(6, 64), "enc": block(64, 6), "dis": block(70, 1, 64, nn.LeakyReLU)})
    opt_ge = torch.optim.Adam([*model["dec"].parameters(), *model["enc"].parameters()], 1e-3, (0.5, 0.999))
    opt_d = torch.optim.Adam(model["dis"].parameters(), 1e-3, (0.5, 0.999))

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        x, z = batch[0], torch.randn(len(batch[0]), 6)
        real, fake = torch.cat([x, m["enc"](x)], 1), torch.cat([m["dec"](z), z], 1)
        d_loss = (F.softplus(-m["dis"](real.detach())) + F.softplus(m["dis"](fake.detach()))).mean()
        opts[1].zero_grad()
        d_loss.backward()
        opts[1].step()
        loss = (F.softplus(m["dis"](real)) + F.softplus(-m["dis"](fake))).mean()
        opts[0].zero_grad()
        loss.backward()
        opts[0].step()
        return loss

    return Training(model, digits(seed), [opt_ge, opt_d], train_step=step)


def imitation(seed: int) -> Training:
    """GAIL in one step: a judge tells an expert's deeds from the pupil's; the pupil follows the judge by REINFORCE."""
    model = nn.ModuleDict({"policy": block(4, 3), "judge": block(7, 1)})
    opts = [torch.optim.Adam(model["policy"].parameters(), 5e-3), torch.optim.Adam(model["judge"].parameters(), 2e-3)]

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        s = torch.randn(64, 4)
        expert = F.one_hot((s[:, 0] > 0).long() + (s[:, 1] > 0.5).long(), 3).float()
        dist = torch.distributions.Categorical(logits=m["policy"](s))
        a = dist.sample()
        own, his = torch.cat([s, F.one_hot(a, 3).float()], 1), torch.cat([s, expert], 1)
        opts[1].zero_grad()
        (F.softplus(m["judge"](own)) + F.softplus(-m["judge"](his))).mean().backward()
        opts[1].step()
        with torch.no_grad():
            reward = m["judge"](own).squeeze(1)
            advantage = (reward - reward.mean()) / (reward.std() + 1e-8)
        loss = -(dist.log_prob(a) * advantage).mean() - 1e-3 * dist.entropy().mean()
        opts[0].zero_grad()
        loss.backward()
        opts[0].step()
        return loss

    return Training(model, repeat(()), opts, train_step=step)


def world(s: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Return reward and the state that follows in a room where one is to stay in the middle."""
    after = 0.9 * s + 0.5 * a + 0.05 * torch.randn_like(s)
    return -after.square().sum(1), after


def td3(seed: int) -> Training:
    """Twin critics, noise on the target's deed, an actor that learns at every second step, soft targets."""
    model: Any = nn.ModuleDict({"pi": nn.Sequential(block(2, 2), nn.Tanh()), "q1": block(4, 1), "q2": block(4, 1)})
    target = copy.deepcopy(model).requires_grad_(False)
    opt_pi = torch.optim.Adam(model["pi"].parameters(), 1e-3)
    opt_q = torch.optim.Adam([*model["q1"].parameters(), *model["q2"].parameters()], 3e-3)

    def step(m: Any, opts: Any, batch: Any, i: int) -> Any:
        s = 1.5 * torch.randn(64, 2)
        a = (m["pi"](s).detach() + 0.3 * torch.randn(64, 2)).clamp(-1, 1)
        r, s2 = world(s, a)
        with torch.no_grad():
            a2 = (target["pi"](s2) + (0.2 * torch.randn_like(a)).clamp(-0.5, 0.5)).clamp(-1, 1)
            sa = torch.cat([s2, a2], 1)
            y = r[:, None] + 0.9 * torch.minimum(target["q1"](sa), target["q2"](sa))
        sa = torch.cat([s, a], 1)
        q_loss = F.mse_loss(m["q1"](sa), y) + F.mse_loss(m["q2"](sa), y)
        opts[1].zero_grad()
        q_loss.backward()
        opts[1].step()
        if i % 2 == 0:
            pi_loss = -m["q1"](torch.cat([s, m["pi"](s)], 1)).mean()
            opts[0].zero_grad()
            pi_loss.backward()
            opts[0].step()
            with torch.no_grad():
                for p, t in zip(m.parameters(), target.parameters(), strict=True):
                    t.mul_(0.98).add_(0.02 * p)
        return q_loss

    return Training(model, repeat(()), [opt_pi, opt_q], train_step=step)


def c51(seed: int) -> Training:
    """A distribution of returns over 21 atoms, projected; the target network is copied at every tenth step."""
    model: Any = nn.ModuleDict({"online": block(2, 63), "target": block(2, 63).requires_grad_(False)})
    atoms = torch.linspace(-10, 0, 21)
    deeds = torch.tensor([[0.0, 0.0], [0.6, 0.6], [-0.6, -0.6]])

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        if i % 10 == 0:
            m["target"].load_state_dict(m["online"].state_dict())
        s, a = torch.randn(64, 2), torch.randint(0, 3, (64,))
        r, s2 = world(s, deeds[a])
        with torch.no_grad():
            p = m["target"](s2).view(64, 3, 21).softmax(2)
            best = p[torch.arange(64), (p * atoms).sum(2).argmax(1)]
            b = ((r[:, None] + 0.8 * atoms).clamp(-10, 0) + 10) * 2
            low, high = b.floor().long(), b.ceil().long()
            goal = torch.zeros(64, 21).scatter_add_(1, low, best * (high - b + (low == high).float()))
            goal.scatter_add_(1, high, best * (b - low))
        logp = m["online"](s).view(64, 3, 21).log_softmax(2)[torch.arange(64), a]
        loss = -(goal * logp).sum(1).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(model, repeat(()), torch.optim.Adam(model["online"].parameters(), 1e-2, eps=1e-4), train_step=step)


def policy_and_value(seed: int) -> Training:
    """Two heads on one trunk: a searched policy as soft labels and an outcome through tanh, as in AlphaZero."""
    model: Any = nn.ModuleDict(
        {"trunk": nn.Sequential(block(18, 32), nn.ReLU()), "p": nn.Linear(32, 9), "v": nn.Linear(32, 1)}
    )
    worth = torch.randn(9)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        board = torch.randint(-1, 2, (64, 9))
        free = (board == 0).float()
        pi = torch.softmax(2 * worth + (free - 1) * 1e9, 1)
        z = torch.tanh((board * worth).sum(1))
        h = m["trunk"](torch.cat([(board > 0).float(), (board < 0).float()], 1))
        logp = torch.log_softmax(m["p"](h) + (free - 1) * 1e9, 1)
        loss = F.mse_loss(torch.tanh(m["v"](h))[:, 0], z) - (pi * logp * free).sum(1).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss

    return Training(
        model, repeat(()), torch.optim.SGD(model.parameters(), 0.1, 0.9, weight_decay=1e-4), train_step=step
    )


class DecisionTransformer(nn.Module):
    """Return, state and deed in turn as tokens; deeds are foretold."""

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.rtg, self.state, self.act = nn.Linear(1, d), nn.Linear(2, d), nn.Linear(2, d)
        self.pos = nn.Parameter(0.02 * torch.randn(15, d))
        layer = nn.TransformerEncoderLayer(d, 2, 48, 0.1, batch_first=True)
        self.tr, self.out = nn.TransformerEncoder(layer, 1), nn.Sequential(nn.Linear(d, 2), nn.Tanh())

    def forward(self, r: Tensor, s: Tensor, a: Tensor) -> Any:
        x = torch.stack([self.rtg(r), self.state(s), self.act(a)], 2).flatten(1, 2) + self.pos
        mask = nn.Transformer.generate_square_subsequent_mask(15)
        return self.out(self.tr(x, mask=mask, is_causal=True)[:, 1::3])


def decisions(seed: int) -> Training:
    """Train a decision transformer on what a good and a bad driver did."""
    net = DecisionTransformer()
    opt = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-4)

    def step(m: Any, opt: Any, batch: Any, i: int) -> Any:
        s, good = torch.randn(32, 5, 2), torch.rand(32, 1, 1)
        a = torch.tanh(-2 * good * s + 0.1 * torch.randn_like(s))
        loss = F.mse_loss(m(good.expand(-1, 5, -1), s, a), a)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 0.25)
        opt.step()
        return loss

    return Training(net, repeat(()), opt, train_step=step)


CASES: list[Case] = [
    script("info-gan", "games", info_gan, 80, falls=False),
    script("pix2pix", "games", pix2pix, 60),
    script("bidirectional-gan", "games", bi_gan, 80, falls=False),
    script("imitation-gail", "reinforcement", imitation, 80, falls=False),
    script("td3", "reinforcement", td3, 100, falls=False),
    script("c51", "reinforcement", c51, 80),
    script("policy-and-value", "reinforcement", policy_and_value, 80),
    script("decision-transformer", "reinforcement", decisions, 80),
]
