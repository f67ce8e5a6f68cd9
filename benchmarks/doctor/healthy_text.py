"""Healthy transformers: tiny configurations of Hugging Face's, and our own, pre- and post-norm."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.doctor import data
from benchmarks.doctor.case import Case, grid
from benchmarks.doctor.losses import classify, foretell, of_hugging_face
from benchmarks.doctor.nets import Attends

SMALL = {"vocab_size": 40, "max_position_embeddings": 32}
TINY = SMALL | {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
LLAMA = TINY | {"num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GPT = {
    "vocab_size": 40,
    "n_positions": 32,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
T5 = {"vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
ELECTRA = TINY | {"embedding_size": 32}
DISTIL = SMALL | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
OPT = {
    "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64,
    "max_position_embeddings": 32, "word_embed_proj_dim": 32,
}  # fmt: skip


def made(config: str, model: str, **settings: Any) -> nn.Module:
    """Return a network of `transformers` from its configuration, without its dropout where that has the usual name."""
    import transformers

    return getattr(transformers, model)(getattr(transformers, config)(**settings))


class Copier(nn.Module):
    """torch's own encoder and decoder: writes the sentence backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(31, 32)
        self.place = nn.Parameter(0.1 * torch.randn(12, 32))
        self.core = nn.Transformer(32, 4, 1, 1, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(32, 30)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.head(self.core(self.embed(x) + self.place, self.embed(before) + self.place, tgt_mask=mask))


def backwards(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of the reversed sentence, each token given those before it."""
    x = batch[0]
    wanted = x.flip(1)
    before = torch.cat((torch.full_like(x[:, :1], 30), wanted[:, :-1]), 1)
    return nn.functional.cross_entropy(model(x, before).flatten(0, 1), wanted.flatten())


def _theirs(
    name: str, config: str, model: str, rates: dict[str, float], settings: dict[str, Any],
    task: Callable[[int], Iterable[Any]] = data.progressions, steps: int = 60,
) -> list[Case]:  # fmt: skip
    return grid(
        f"hf-{name}", "transformers", partial(made, config, model, **settings), task, of_hugging_face, rates, steps
    )


few = partial(data.progressions, vocabulary=12)

CASES: list[Case] = [
    *_theirs("bert", "BertConfig", "BertForSequenceClassification", {"adamw": 2e-3, "adam": 3e-3}, TINY, data.tokens),
    *_theirs("bert-mlm", "BertConfig", "BertForMaskedLM", {"adamw": 3e-3}, TINY),
    *_theirs("roberta", "RobertaConfig", "RobertaForSequenceClassification", {"adamw": 2e-3}, TINY | {"max_position_embeddings": 40}, data.tokens),
    *_theirs("distilbert", "DistilBertConfig", "DistilBertForSequenceClassification", {"adam": 2e-3}, DISTIL, data.tokens),
    *_theirs("electra", "ElectraConfig", "ElectraForSequenceClassification", {"adamw": 5e-3}, ELECTRA, data.tokens),
    *_theirs("albert", "AlbertConfig", "AlbertForSequenceClassification", {"adamw": 3e-3}, ELECTRA, data.tokens, 150),
    *_theirs("gpt2", "GPT2Config", "GPT2LMHeadModel", {"adamw": 3e-3, "adam": 5e-3}, GPT),
    *_theirs("opt", "OPTConfig", "OPTForCausalLM", {"adamw": 3e-3}, OPT),
    *_theirs("gpt-neox", "GPTNeoXConfig", "GPTNeoXForCausalLM", {"adamw": 3e-3}, TINY),
    *_theirs("llama", "LlamaConfig", "LlamaForCausalLM", {"adamw": 3e-3, "adam": 2e-3}, LLAMA),
    *_theirs("qwen2", "Qwen2Config", "Qwen2ForCausalLM", {"adamw": 3e-3}, LLAMA),
    *_theirs("mistral", "MistralConfig", "MistralForCausalLM", {"adamw": 3e-3}, LLAMA),
    *_theirs("t5", "T5Config", "T5ForConditionalGeneration", {"adamw": 3e-3, "adam": 5e-3}, T5 | {"decoder_start_token_id": 0}, few),
    *grid("own-prenorm", "own transformers", partial(Attends, 30, 2), data.tokens, classify, {"adamw": 1e-3, "sgd": 0.05, "rmsprop": 5e-4}),
    *grid("own-postnorm", "own transformers", partial(Attends, 30, 2, first=False), data.tokens, classify, {"adam": 1e-3, "adamw": 1e-3}),
    *grid("own-prenorm-6", "own transformers", partial(Attends, 30, 2, depth=6), data.tokens, classify, {"adamw": 1e-3}, 40),
    *grid("own-causal", "own transformers", partial(Attends, 40, 40, causal=True), data.progressions, foretell, {"adamw": 3e-3, "adam": 2e-3}),
    *grid("own-causal-gelu-dropout", "own transformers", partial(Attends, 40, 40, causal=True, dropout=0.1, act="gelu"), data.progressions, foretell, {"adamw": 3e-3}),
    *grid("own-seq2seq", "own transformers", Copier, partial(data.tokens, vocabulary=10, length=12), backwards, {"adam": 3e-3}, 80),
]  # fmt: skip
