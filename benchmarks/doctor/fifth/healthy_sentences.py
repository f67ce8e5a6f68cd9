"""Healthy: sentences, sounds and vectors of words."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.doctor.case import Case, Training
from benchmarks.doctor.data import progressions
from benchmarks.doctor.fifth import healthy_data as data
from benchmarks.doctor.fifth.healthy_parts import ce, named, own, per_token, plain
from benchmarks.doctor.fourth.data import names


class Ears(nn.Module):
    """What is said, by two-way recurrence over sounds; a blank between letters, nearly everywhere at first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.rnn = nn.Conv1d(8, 32, 3, padding=1), nn.GRU(32, 24, bidirectional=True, batch_first=True)
        self.out = nn.Linear(48, 6)

    def forward(self, x: Tensor, said: Tensor) -> Any:
        h = self.rnn(F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2))[0]
        logp = F.log_softmax(self.out(h), 2).transpose(0, 1)
        full = torch.full((len(x),), x.shape[1])
        return F.ctc_loss(logp, said, full, torch.full_like(full, 3), zero_infinity=True)


class Tagger(nn.Module):
    """Packed sentences and a tag a word; the padding's row stays zero, its tag is ignored."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 16, padding_idx=0)
        self.rnn, self.out = nn.LSTM(16, 24, bidirectional=True, batch_first=True), nn.Linear(48, 5)

    def forward(self, x: Tensor) -> Any:
        packed = pack_padded_sequence(self.embed(x), (x > 0).sum(1), batch_first=True, enforce_sorted=False)
        return self.out(pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])[0])


class Masked(nn.Module):
    """BERT in small: a sixth of the tokens hidden, only those asked for; all others' labels are -100."""

    def __init__(self, d: int = 32) -> None:
        super().__init__()
        self.embed, self.pos, self.norm = nn.Embedding(41, d), nn.Embedding(12, d), nn.LayerNorm(d)
        layer = nn.TransformerEncoderLayer(d, 4, 64, 0.0, "gelu", batch_first=True)
        self.core = nn.TransformerEncoder(layer, 2)
        self.out = nn.Linear(d, 41)

    def forward(self, x: Tensor) -> Any:
        hide = torch.rand(x.shape) < 0.15
        hide[:, 5] = True
        h = self.norm(self.embed(x.masked_fill(hide, 40)) + self.pos(torch.arange(x.shape[1])))
        logits = self.out(self.core(h))
        return F.cross_entropy(logits.flatten(0, 1), x.masked_fill(~hide, -100).flatten(), ignore_index=-100)


class SkipGram(nn.Module):
    """word2vec: the words' vectors are small at first, the contexts' are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.context = nn.Embedding(40, 16, sparse=True), nn.Embedding(40, 16, sparse=True)
        nn.init.uniform_(self.word.weight, -0.5 / 16, 0.5 / 16)
        nn.init.zeros_(self.context.weight)

    def forward(self, x: Tensor) -> Any:
        near, far = x[:, 1:5], torch.randint(0, 40, (len(x), 12))
        v = self.word(x[:, 0])[:, :, None]
        good, bad = self.context(near) @ v, self.context(far) @ v
        return -(F.logsigmoid(good).mean() + F.logsigmoid(-bad).mean())


def vectors(seed: int) -> Training:
    """Skip-grams by SparseAdam; a batch touches few rows."""
    model = SkipGram()
    optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=0.03)
    return Training(model, progressions(seed, 64), optimizer, own)


class Kim(nn.Module):
    """Kim's convolutions over sentences, half of the features dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 32, padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv1d(32, 16, k) for k in (2, 3, 4))
        self.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(48, 2))

    def forward(self, x: Tensor) -> Any:
        h = self.embed(x).transpose(1, 2)
        return self.fc(torch.cat([F.relu(conv(h)).amax(2) for conv in self.convs], 1))


class Attending(nn.Module):
    """Attention to what is not padding: scores of padding are minus infinity, no row is without a word."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.score = nn.Embedding(30, 24, padding_idx=0), nn.Linear(24, 1)
        self.mix = nn.TransformerEncoderLayer(24, 2, 48, 0.0, batch_first=True)
        self.out = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Any:
        h = self.mix(self.embed(x), src_key_padding_mask=x == 0)
        weight = self.score(h).squeeze(2).masked_fill(x == 0, float("-inf")).softmax(1)
        return self.out((weight[:, :, None] * h).sum(1))


class LetterNames(nn.Module):
    """A letter recurrence by hand, whose end is LogSoftmax."""

    def __init__(self) -> None:
        super().__init__()
        self.i2h, self.h2h, self.h2o = nn.Linear(27, 48), nn.Linear(48, 48), nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Any:
        hidden = torch.zeros(len(x), 48)
        for letter in F.one_hot(x, 27).float().unbind(1):
            hidden = torch.tanh(self.i2h(letter) + self.h2h(hidden))
        return F.log_softmax(self.h2o(hidden), dim=1)


CASES: list[Case] = [
    plain("ears-ctc", "speech", Ears, data.speech, own, "adam", 5e-3, 80),
    plain("tagger-packed", "text", Tagger, data.tagged, per_token, "adam", 1e-2, 80),
    plain("masked-tokens", "language models", Masked, progressions, own, "adam", 5e-3, 200),
    named("skip-grams-zero-contexts", "embeddings", vectors, 150),
    plain("kim-convolutions", "text", Kim, data.ragged, ce, "adadelta", 1.0, 150),
    plain("attention-minus-infinity", "text", Attending, data.ragged, ce, "adam", 5e-3, 100),
    plain("letters-of-names", "recurrent", LetterNames, names, lambda m, b: F.nll_loss(m(b[0]), b[1]), "sgd", 0.02, 120),
]  # fmt: skip
