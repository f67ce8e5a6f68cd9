"""Healthy: words, sequences, and parts of language models that are tuned."""
# ruff: noqa: E501 - an address is a line

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case, Training
from benchmarks.doctor.data import progressions
from benchmarks.doctor.sixth.nets_c import Attentive, Diagonal, Noam
from benchmarks.doctor.sixth.parts_c import adam, adamw, ce, dice, down, keeper, rows, sgd

CASES: list[Case] = []
learns = keeper(CASES)


@learns("llama-tiny-checkpointing", "language models", 60)
def llama(seed: int) -> Training:
    """A Llama of two layers whose activations are computed anew in the backward pass; bfloat16 by autocast."""
    net: Any = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=40, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=32, use_cache=False,
        )
    )  # fmt: skip
    net.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def loss(model: Any, batch: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value: Tensor = model(input_ids=batch[0], labels=batch[0]).loss
        return value

    return Training(net, progressions(seed, 16), adamw(net, 5e-3), loss)


@learns("t5-tiny-reverses", "language models", 120)
def t5(seed: int) -> Training:
    """A T5 that turns short words round; one table of words is encoder's, decoder's and head's."""
    x = torch.randint(2, 16, (1024, 5), generator=dice(seed))
    net: Any = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=16, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_decoder_layers=1, num_heads=4, dropout_rate=0.0,
            pad_token_id=0,
        )
    )  # fmt: skip
    net.config.decoder_start_token_id = 0
    return Training(net, rows(seed, x, x.flip(1), size=32), adamw(net, 5e-3), hf_loss)


def hf_loss(model: Any, batch: Any) -> Tensor:
    """The model's own loss of inputs and labels."""
    value: Tensor = model(input_ids=batch[0], labels=batch[1]).loss
    return value


def themes(seed: int) -> Batches:
    """Return sentences (B, 12) of thirty words, and which half of the words abounds in them."""
    g = dice(seed)
    x, y = torch.randint(0, 30, (768, 12), generator=g), torch.randint(0, 2, (768,), generator=g)
    return Batches((torch.where(torch.rand(x.shape, generator=g) < 0.6, x % 15 + 15 * y[:, None], x), y), 32, seed)


@learns("bert-tiny-only-biases", "tuning", 120)
def bit_fit(seed: int) -> Training:
    """BitFit: of a BERT only the biases and the head learn; the matrices have no gradient."""
    net = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=30, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
            max_position_embeddings=16, hidden_dropout_prob=0.0, initializer_range=0.2,
        )
    )  # fmt: skip
    for name, p in net.named_parameters():
        p.requires_grad_("bias" in name or "classifier" in name)
    return Training(net, themes(seed), adamw(net, 0.01), hf_loss)


@learns("gpt2-tiny-prompt-tuning", "tuning", 150)
def prompts(seed: int) -> Training:
    """All of a GPT is frozen; six vectors before the sentence learn, and they alone, with a large rate."""
    config = transformers.GPT2Config(
        vocab_size=30, n_positions=32, n_embd=48, n_layer=2, n_head=4, initializer_range=0.3, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip

    class Prompted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lm: Any = transformers.GPT2Model(config).requires_grad_(False)
            self.prompt, self.read = nn.Parameter(0.5 * torch.randn(6, 48)), nn.Linear(48, 2).requires_grad_(False)

        def forward(self, x: Tensor) -> Any:
            before = self.prompt.expand(len(x), -1, -1)
            words = torch.cat([self.lm.wte(x), before], 1)
            return self.read(self.lm(inputs_embeds=words).last_hidden_state[:, -1])

    net = Prompted()
    return Training(net, themes(seed), adam(net, 0.05), ce)


@learns("translator-noam-rate", "transformers", 180)
def noam(seed: int) -> Training:
    """A rate that starts near zero, rises for fifty steps and falls with the root: the first steps hardly move."""
    x = torch.randint(2, 20, (1024, 6), generator=dice(seed))
    y = F.pad(x.sort(1).values, (1, 0), value=1)
    net = Noam()
    optimizer = torch.optim.Adam(net.parameters(), 1.0, (0.9, 0.98), 1e-9)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.18 * min((n + 1) ** -0.5, (n + 1) * 50**-1.5))

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        x, y = batch
        out = model(x, y[:, :-1]).flatten(0, 1)
        loss = down(optimizer, F.cross_entropy(out, y[:, 1:].flatten(), label_smoothing=0.1))
        rate.step()
        return loss

    return Training(net, rows(seed, x, y, size=32), optimizer, train_step=step)


@learns("speech-ctc", "speech", 150)
def speech(seed: int) -> Training:
    """CTC: at first the net says blank everywhere, and the loss rests there a while; then it finds the letters."""
    g = dice(seed)
    letters = torch.randint(1, 6, (512, 4), generator=g)
    shapes = torch.randn(6, 12, generator=g)
    sound = shapes[letters].repeat_interleave(5, 1) + 0.3 * torch.randn(512, 20, 12, generator=g)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gru = nn.Conv1d(12, 32, 3, padding=1), nn.GRU(32, 24, batch_first=True, bidirectional=True)
            self.head = nn.Linear(48, 6)

        def forward(self, x: Tensor) -> Any:
            h = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
            return self.head(self.gru(h)[0]).log_softmax(-1)

    def loss(model: nn.Module, batch: Any) -> Any:
        n = len(batch[0])
        out, long, short = model(batch[0]).transpose(0, 1), torch.full((n,), 20), torch.full((n,), 4)
        return F.ctc_loss(out, batch[1], long, short, zero_infinity=True)

    net = Net()
    return Training(net, rows(seed, sound, letters, size=32), adam(net, 5e-3), loss)


@learns("writer-scheduled-sampling", "recurrent", 150)
def sampled(seed: int) -> Training:
    """Truth is fed less and less, so that the loss may rise as the lesson becomes harder."""
    x = torch.randint(2, 20, (1024, 5), generator=dice(seed))
    net = Attentive()

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        out = model(batch[0], batch[1], max(0.3, 1 - number / 150))
        return down(optimizer, F.cross_entropy(out.flatten(0, 1), batch[1].flatten()))

    return Training(net, rows(seed, x, x.flip(1), size=32), adam(net, 0.01), train_step=step)


@learns("skip-gram-negatives", "embeddings", 150)
def skip_gram(seed: int) -> Training:
    """word2vec: sparse gradients, SparseAdam, output vectors that start at zero, so the inputs' gradient does too."""
    g = dice(seed)
    word = torch.randint(0, 200, (4096,), generator=g)
    near = word // 10 * 10 + torch.randint(0, 10, (4096,), generator=g)
    net = nn.ModuleList(nn.Embedding(200, 24, sparse=True) for _ in range(2))
    nn.init.uniform_(net[0].weight, -0.5, 0.5)  # type: ignore[arg-type]
    nn.init.zeros_(net[1].weight)  # type: ignore[arg-type]

    def loss(model: Any, batch: Any) -> Any:
        centre, context, other = (
            model[0](batch[0]),
            model[1](batch[1]),
            model[1](torch.randint(0, 200, (len(batch[0]), 5))),
        )
        good = F.logsigmoid((centre * context).sum(1))
        return -(good + F.logsigmoid(-(other @ centre[..., None])).sum((1, 2))).mean()

    return Training(net, rows(seed, word, near, size=256), torch.optim.SparseAdam(net.parameters(), 0.03), loss)


class Tagger(nn.Module):
    """A linear chain over emissions; the loss is that of the whole sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(30, 16), nn.LSTM(16, 16, batch_first=True, bidirectional=True)
        self.head, self.moves = nn.Linear(32, 3), nn.Parameter(torch.zeros(3, 3))

    def forward(self, x: Tensor, y: Tensor) -> Any:
        e = self.head(self.lstm(self.words(x))[0])
        best = e.gather(2, y[..., None]).sum((1, 2)) + self.moves[y[:, :-1], y[:, 1:]].sum(1)
        alpha = e[:, 0]
        for n in range(1, e.shape[1]):
            alpha = torch.logsumexp(alpha[:, :, None] + self.moves, 1) + e[:, n]
        return (alpha.logsumexp(1) - best).mean()


@learns("tags-by-crf", "tagging", 120)
def crf(seed: int) -> Training:
    """A conditional random field; moves between tags start at zero."""
    x = torch.randint(0, 30, (768, 10), generator=dice(seed))
    y = (x % 3 + F.pad(x[:, :-1] % 2, (1, 0))) % 3
    net = Tagger()
    return Training(net, rows(seed, x, y, size=32), sgd(net, 0.05, 0.9), lambda m, b: m(*b))


@learns("state-space-memory", "state spaces", 120)
def memory(seed: int) -> Training:
    """S4D remembers over sixty steps which of two marks came first."""
    g = dice(seed)
    x, y = 0.3 * torch.randn(768, 60, 1, generator=g), torch.randint(0, 2, (768,), generator=g)
    x[:, :3, 0] += 2.0 * y[:, None] - 1

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.into, self.head = nn.Linear(1, 16), nn.Linear(16, 2)
            self.body = nn.Sequential(Diagonal(16), Diagonal(16))

        def forward(self, x: Tensor) -> Any:
            return self.head(self.body(self.into(x))[:, -1])

    net = Net()
    return Training(net, rows(seed, x, y, size=32), adamw(net, 5e-3), ce)


class Tied(nn.Module):
    """An LSTM whose head is its table of words; its state is kept from batch to batch."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(24, 48), nn.LSTM(48, 48, batch_first=True)
        self.head = nn.Linear(48, 24)
        self.head.weight = self.words.weight
        nn.init.uniform_(self.words.weight, -0.1, 0.1)
        self.state: Any = None

    def forward(self, x: Tensor) -> Any:
        h, state = self.lstm(self.words(x), self.state)
        self.state = tuple(each.detach() for each in state)
        return self.head(h)


@learns("long-text-in-pieces", "language models", 120)
def pieces(seed: int) -> Training:
    """Sixteen long texts are read in pieces; the state is carried over and cut off from its past, as it must be."""
    chance = torch.rand(24, 24, generator=dice(seed)).pow(12)
    text = torch.zeros(16, 25 * 12 + 1, dtype=torch.long)
    for n in range(1, text.shape[1]):
        text[:, n] = torch.multinomial(chance[text[:, n - 1]], 1, generator=dice(seed + n))[:, 0]
    parts = [(text[:, n : n + 12], text[:, n + 1 : n + 13]) for n in range(0, 300, 12)] * 8
    net = Tied()

    def step(model: Any, optimizer: Any, batch: Any, number: int) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()
        return loss

    return Training(net, parts, sgd(net, 8.0), train_step=step)


class Adapter(nn.Module):
    """A bottleneck beside a frozen block, its way out zero at first."""

    def __init__(self, block: nn.Module, d: int) -> None:
        super().__init__()
        self.block, self.narrow, self.wide = block.requires_grad_(False), nn.Linear(d, 6), nn.Linear(6, d)
        nn.init.zeros_(self.wide.weight)
        nn.init.zeros_(self.wide.bias)

    def forward(self, x: Tensor, **other: Any) -> Any:
        h = self.block(x, **other)
        return h + self.wide(F.gelu(self.narrow(h)))


@learns("adapters-in-a-frozen-encoder", "tuning", 120)
def adapters(seed: int) -> Training:
    """Nine tenths of the numbers rest; the narrow layers have no gradient at the first step."""
    layers = [nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True) for _ in range(2)]
    net = nn.Sequential(nn.Embedding(30, 32).requires_grad_(False), *(Adapter(each, 32) for each in layers))

    class Read(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = net, nn.Linear(32, 2)

        def forward(self, x: Tensor) -> Any:
            return self.head(self.body(x).mean(1))

    whole = Read()
    return Training(whole, themes(seed), adamw(whole, 3e-3), ce)
