"""Healthy: language models and translation, and their loops."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import tokens
from benchmarks.doctor.fifth import healthy_data as data
from benchmarks.doctor.fifth.healthy_parts import by, ce, down, following, named, plain


class News(nn.Module):
    """torchtext's lesson: a bag of embeddings and a linear layer, uniform at first."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.fc = nn.EmbeddingBag(30, 32, sparse=False), nn.Linear(32, 2)
        nn.init.uniform_(self.embedding.weight, -0.5, 0.5)
        nn.init.uniform_(self.fc.weight, -0.5, 0.5)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.embedding(x))


def news(seed: int) -> Training:
    """The lesson's loop: a rate of 5, gradients clipped at 0.1."""
    model = News()

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = ce(net, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        optimizer.step()
        return loss

    return Training(model, tokens(seed), by("plain", model.parameters(), 5.0), train_step=step)


class Block(nn.Module):
    """nanoGPT's block."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(d, bias=False), nn.LayerNorm(d, bias=False)
        self.c_attn, self.c_proj = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.up, self.down = nn.Linear(d, 4 * d, bias=False), nn.Linear(4 * d, d, bias=False)

    def forward(self, x: Tensor) -> Any:
        b, t, d = x.shape
        q, k, v = (each.view(b, t, 2, d // 2).transpose(1, 2) for each in self.c_attn(self.ln_1(x)).split(d, 2))
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d)
        x = x + self.c_proj(h)
        return x + self.down(F.gelu(self.up(self.ln_2(x))))


class GPT(nn.Module):
    """nanoGPT: the head is the embedding; weights of 0.02, smaller where they enter the stream."""

    def __init__(self, d: int = 32, depth: int = 3, words: int = 27) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, d), nn.Embedding(40, d)
        self.h, self.ln_f = nn.ModuleList(Block(d) for _ in range(depth)), nn.LayerNorm(d, bias=False)
        self.lm_head = nn.Linear(d, words, bias=False)
        self.wte.weight = self.lm_head.weight
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                small = name.endswith(("c_proj.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * depth) if small else 0.02)

    def forward(self, x: Tensor) -> Any:
        h = self.wte(x) + self.wpe(torch.arange(x.shape[1]))
        for block in self.h:
            h = block(h)
        return self.lm_head(self.ln_f(h))


def nano(seed: int) -> Training:
    """nanoGPT's loop: decay for matrices alone, warm-up, a cosine, clipping."""
    model = GPT()
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.dim() >= 2], "weight_decay": 0.1},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=6e-3, betas=(0.9, 0.95))

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        share = min(1.0, (number + 1) / 10) * (0.55 + 0.45 * math.cos(math.pi * number / 100))
        for group in optimizer.param_groups:
            group["lr"] = 6e-3 * share
        loss = following(net, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    return Training(model, data.poem(seed), optimizer, train_step=step)


class WordModel(nn.Module):
    """The language model of PyTorch's examples, tied."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.encoder = nn.Dropout(0.2), nn.Embedding(27, 48)
        self.rnn, self.decoder = nn.LSTM(48, 48, 2, dropout=0.2), nn.Linear(48, 27)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, x: Tensor, hidden: Any) -> Any:
        h, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        return self.decoder(self.drop(h)), hidden


def examples(seed: int) -> Training:
    """The examples' loop: a rate of 20 without momentum, clipped at 0.25, weights changed by hand, states detached."""
    model: Any = WordModel()
    x = next(iter(data.poem(seed, 16, 121)))[0].t()
    kept: dict[str, Any] = {"hidden": None}

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        at = 12 * (number % 10)
        if at == 0:
            kept["hidden"] = None
        elif kept["hidden"] is not None:
            kept["hidden"] = tuple(each.detach() for each in kept["hidden"])
        optimizer.zero_grad()
        out, kept["hidden"] = net(x[at : at + 12], kept["hidden"])
        loss = F.cross_entropy(out.flatten(0, 1), x[at + 1 : at + 13].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.25)
        optimizer.step()
        return loss

    return Training(model, [(x,)] * 200, by("plain", model.parameters(), 20.0), train_step=step)


class Translator(nn.Module):
    """A transformer with the norms behind, as at first it was."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.d, self.src, self.tgt = d, nn.Embedding(13, d), nn.Embedding(13, d)
        at = torch.arange(8.0)[:, None] * torch.exp(-math.log(1e4) * torch.arange(0, d, 2) / d)
        self.register_buffer("pe", torch.cat([at.sin(), at.cos()], 1))
        self.core = nn.Transformer(d, 4, 2, 2, 64, 0.0, batch_first=True)
        self.generator = nn.Linear(d, 13)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        into = torch.cat([torch.ones_like(y[:, :1]), y[:, :-1]], 1)
        mask = nn.Transformer.generate_square_subsequent_mask(y.shape[1])
        pe: Any = self.pe
        x, into = (net(ids) * self.d**0.5 + pe[: ids.shape[1]] for net, ids in ((self.src, x), (self.tgt, into)))
        return self.generator(self.core(x, into, tgt_mask=mask))


def annotated(seed: int) -> Training:
    """The annotated transformer's loop: Noam's rate, smoothed labels."""
    model = Translator()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    rule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda n: 0.4 * 32**-0.5 * min((n + 1) ** -0.5, (n + 1) * 40**-1.5)
    )

    def step(net: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        loss = F.cross_entropy(net(*batch).flatten(0, 1), batch[1].flatten(), label_smoothing=0.1)
        down(optimizer, loss)
        rule.step()
        return loss

    return Training(model, data.mirrored(seed), optimizer, train_step=step)


def forced(seed: int) -> Training:
    """The lesson on translation: an encoder, a decoder, an optimiser each, the right letter given half of the time."""
    model: Any = nn.ModuleDict({"embed": nn.Embedding(13, 32), "encoder": nn.GRU(32, 48, batch_first=True),
                                "again": nn.Embedding(13, 32), "decoder": nn.GRU(32, 48, batch_first=True),
                                "out": nn.Linear(48, 13)})  # fmt: skip
    dice = data.dice(seed)
    one = by("adam", [*model["embed"].parameters(), *model["encoder"].parameters()], 1e-2)
    two = by("adam", [p for n in ("again", "decoder", "out") for p in model[n].parameters()], 1e-2)

    def step(m: Any, optimizers: Any, batch: Any, number: int) -> Tensor:
        x, y = batch
        for each in optimizers:
            each.zero_grad()
        hidden, word = m["encoder"](m["embed"](x))[1], torch.ones_like(y[:, :1])
        forcing = bool(torch.rand((), generator=dice) < 0.5)
        loss = torch.zeros(())
        for place in range(y.shape[1]):
            out, hidden = m["decoder"](F.relu(m["again"](word)), hidden)
            logits = m["out"](out[:, 0])
            loss = loss + F.cross_entropy(logits, y[:, place]) / y.shape[1]
            word = y[:, place : place + 1] if forcing else logits.argmax(1, keepdim=True).detach()
        loss.backward()
        for each in optimizers:
            each.step()
        return loss

    return Training(model, data.mirrored(seed), [one, two], train_step=step)


class Rooted(nn.Module):
    """A language model with root-mean-square norms and gated layers, without a bias."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.embed, self.norm, self.out = nn.Embedding(27, d), nn.RMSNorm(d), nn.Linear(d, 27, bias=False)
        self.rnn, self.mid = nn.GRU(d, d, batch_first=True, bias=False), nn.RMSNorm(d)
        self.gate, self.up, self.down = (nn.Linear(d, d, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Any:
        h = self.embed(x)
        h = h + self.rnn(h)[0]
        m = self.mid(h)
        return self.out(self.norm(h + self.down(F.silu(self.gate(m)) * self.up(m))))


def stairs(seed: int) -> Training:
    """Forty windows, again and again, in order: stairs at each return, normal (lm-sys/FastChat#2025)."""
    model = Rooted()
    x = next(iter(data.poem(seed, 40)))[0]
    batches = [(each,) for each in x.split(8)] * 30
    return Training(model, batches, by("adamw", model.parameters(), 5e-3), following)


CASES: list[Case] = [
    named("news-rate-five", "text", news, 120),
    named("nano-gpt", "language models", nano, 100),
    named("word-model-rate-twenty", "language models", examples, 150),
    named("annotated-transformer", "translation", annotated, 150),
    named("teacher-forced-half", "translation", forced, 150),
    plain("rms-norms-adafactor", "language models", Rooted, data.poem, following, "adafactor", 2e-2, 80),
    named("memorised-in-stairs", "language models", stairs, 120),
]  # fmt: skip
