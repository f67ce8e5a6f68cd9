"""Healthy: small models of well-known libraries that the other zoos lack, from their configurations, without weights."""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.doctor.case import Batches, Case
from benchmarks.doctor.fourth import data
from benchmarks.doctor.fourth.parts import Recipe, dice, well

TEXT: dict[str, Any] = {
    "vocab_size": 28,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "num_labels": 3,
    "pad_token_id": 0,
}


def classifier(kind: str) -> Any:
    """Return a small classifier of texts."""
    hf: Any = import_module("transformers")

    small = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    if kind == "deberta":
        return hf.DebertaV2ForSequenceClassification(
            hf.DebertaV2Config(
                **TEXT, **small, max_position_embeddings=32, relative_attention=True, pos_att_type=["p2c", "c2p"]
            )
        )
    if kind == "xlnet":
        return hf.XLNetForSequenceClassification(
            hf.XLNetConfig(
                vocab_size=28, d_model=32, n_layer=2, n_head=2, d_inner=64, num_labels=3, dropout=0.0, pad_token_id=0
            )
        )
    if kind == "convbert":
        return hf.ConvBertForSequenceClassification(
            hf.ConvBertConfig(
                **TEXT, **small, embedding_size=32, head_ratio=1, conv_kernel_size=3, max_position_embeddings=32
            )
        )
    return hf.FNetForSequenceClassification(
        hf.FNetConfig(
            vocab_size=28,
            hidden_size=32,
            num_hidden_layers=2,
            intermediate_size=64,
            num_labels=3,
            hidden_dropout_prob=0.0,
            max_position_embeddings=32,
            pad_token_id=0,
        )
    )


def causal(kind: str) -> Any:
    """Return a small language model."""
    hf: Any = import_module("transformers")

    if kind == "phi":
        return hf.PhiForCausalLM(
            hf.PhiConfig(
                vocab_size=28,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=32,
            )
        )
    if kind == "gemma":
        return hf.GemmaForCausalLM(
            hf.GemmaConfig(
                vocab_size=28,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=16,
                intermediate_size=64,
                max_position_embeddings=32,
            )
        )
    if kind == "mamba":
        return hf.MambaForCausalLM(
            hf.MambaConfig(
                vocab_size=28, hidden_size=32, num_hidden_layers=2, state_size=4, time_step_rank=4, use_mambapy=False
            )
        )
    if kind == "bloom":
        return hf.BloomForCausalLM(hf.BloomConfig(vocab_size=28, hidden_size=32, n_layer=2, n_head=2))
    return hf.BartForConditionalGeneration(
        hf.BartConfig(
            vocab_size=28,
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=32,
            dropout=0.0,
            pad_token_id=0,
            bos_token_id=27,
            eos_token_id=27,
            decoder_start_token_id=27,
            forced_eos_token_id=None,
        )
    )


def labelled(model: Any, batch: Any) -> Tensor:
    """The loss that the model computes."""
    value: Tensor = model(input_ids=batch[0], labels=batch[1]).loss
    return value


def spoken(model: Any, batch: Any) -> Tensor:
    """The loss that the model computes of itself."""
    value: Tensor = model(input_ids=batch[0], labels=batch[0]).loss
    return value


def seen(kind: str) -> Any:
    """Return a small network of pictures."""
    tv: Any = import_module("torchvision.models")
    hf: Any = import_module("transformers")

    if kind == "segformer":
        return hf.SegformerForSemanticSegmentation(
            hf.SegformerConfig(
                num_encoder_blocks=2,
                depths=[1, 1],
                sr_ratios=[2, 1],
                hidden_sizes=[16, 24],
                patch_sizes=[3, 3],
                strides=[2, 2],
                num_attention_heads=[1, 2],
                mlp_ratios=[2, 2],
                decoder_hidden_size=24,
                num_labels=2,
                drop_path_rate=0.0,
            )
        )
    return tv.MaxVit((32, 32), 16, 4, [16, 16], [1, 1], 8, 0.0, num_classes=4)


def pixels(model: Any, batch: Any) -> Tensor:
    """Cross entropy of pixels, which the model puts to the labels' size."""
    value: Tensor = model(pixel_values=batch[0], labels=batch[1][:, 0].long()).loss
    return value


def corners(seed: int) -> Batches:
    """Return pictures (B, 3, 32, 32), and in which quarter the thing is."""
    x, box = data.boxes(seed).tensors
    x = F.interpolate(x, size=32)
    return Batches(((x - x.mean()) / x.std(), 2 * (box[:, 0] > 0.5).long() + (box[:, 1] > 0.5).long()), 16, seed)


def ordered(seed: int) -> Batches:
    """Return letters of which each follows from the one before, most of the time (B, 12)."""
    g = dice(seed)
    x = [torch.randint(1, 27, (640,), generator=g)]
    for _ in range(11):
        x.append(
            torch.where(
                torch.rand(640, generator=g) < 0.1, torch.randint(1, 27, (640,), generator=g), (3 * x[-1] + 1) % 26 + 1
            )
        )
    return Batches((torch.stack(x, 1),), 32, seed)


def chosen(model: nn.Module, batch: Any) -> Tensor:
    """Cross entropy of logits."""
    return F.cross_entropy(model(batch[0]), batch[1])


def recipe(kind: str) -> Recipe:
    """Return the recipe of one of the models."""
    if kind in ("deberta", "xlnet", "convbert", "fnet"):
        return Recipe("transformers", partial(classifier, kind), data.names, labelled, "adamw", 3e-3)
    if kind in ("phi", "gemma", "mamba", "bloom", "bart"):
        return Recipe("transformers", partial(causal, kind), ordered, spoken, "adamw", 5e-3)
    if kind == "segformer":
        return Recipe("segmentation", partial(seen, kind), data.masks, pixels, "adamw", 5e-3)
    return Recipe("torchvision", partial(seen, kind), corners, chosen, "adamw", 2e-3)


LONGER = {"deberta": 100, "convbert": 120, "fnet": 80, "maxvit": 90}
KINDS = ("deberta", "xlnet", "convbert", "fnet", "phi", "gemma", "mamba", "bloom", "bart", "segformer", "maxvit")
CASES: list[Case] = [well(f"hub-{kind}", recipe(kind), LONGER.get(kind, 60)) for kind in KINDS]
