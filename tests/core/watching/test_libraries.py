"""The watch in loops that libraries run: Fabric, transformers' Trainer, and processes that share a network."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

from tests.core.watching.networks import CLASSES, IN, B, loss_of, mlp
from vgtemplate.watching.loop import watch


@pytest.mark.parametrize("package", ["lightning_fabric", "lightning.fabric"])
def test_loop_of_fabric(package: str) -> None:
    def train(watched: bool) -> tuple[dict[str, Tensor], Any]:
        fabric = importlib.import_module(package).Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
        torch.manual_seed(0)
        network = mlp(nn.GELU)
        model, optimiser = fabric.setup(network, torch.optim.AdamW(network.parameters(), 1e-2))

        def steps() -> None:
            for _ in range(4):
                optimiser.zero_grad()
                fabric.backward(loss_of(model, (torch.randn(B, IN), torch.randint(CLASSES, (B,)))))
                fabric.clip_gradients(model, optimiser, max_norm=0.1)
                optimiser.step()

        if not watched:
            steps()
            return network.state_dict(), None
        with watch(network, every=2) as seen:
            steps()
        return network.state_dict(), seen

    (plain, _), (watched, seen) = train(False), train(True)
    assert all(torch.equal(tensor, watched[name]) for name, tensor in plain.items())
    assert seen.steps == [0, 2]
    assert seen.notes == []
    series = seen.series()
    assert all(np.isfinite(series[name]).all() for name in ("gradient_rms", "signal_rms", "update_ratio"))
    before, after = series["weight_grad_norm_before_clip"], series["weight_grad_norm_after_clip"]
    assert (after < before).all()


@pytest.mark.slow
def test_trainer_of_transformers(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    def train(watched: bool) -> tuple[dict[str, Tensor], Any]:
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        model = BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=CLASSES, **sizes))
        data = [{"input_ids": torch.randint(20, (5,)), "labels": torch.tensor(index % CLASSES)} for index in range(32)]
        settings = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 4}
        arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], save_strategy="no", **settings)
        trainer = Trainer(model, arguments, train_dataset=data)
        if not watched:
            trainer.train()
            return model.state_dict(), None
        with watch(model, every=1) as seen:
            trainer.train()
        return model.state_dict(), seen

    (plain, _), (watched, seen) = train(False), train(True)
    assert all(torch.equal(tensor, watched[name]) for name, tensor in plain.items())
    assert seen.steps == [0, 1, 2, 3]
    series = seen.series()
    query = seen.layers.index("bert.encoder.layer.0.attention.self.query")
    for name in ("gradient_rms", "signal_rms", "weight_grad_norm_before_clip", "update_ratio"):
        assert np.isfinite(series[name][0, :, query]).all(), name


def _train(rank: int, kind: str, watched: bool) -> dict[str, Any]:
    torch.manual_seed(0)
    network: Any = mlp(nn.Tanh)
    model: Any = network
    if kind == "ddp":
        model = nn.parallel.DistributedDataParallel(network)
    else:
        from torch.distributed.fsdp import fully_shard

        for layer in (network[0], network[2], network[4]):
            fully_shard(layer)
        fully_shard(network)
    optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    torch.manual_seed(1 + rank)

    def steps() -> None:
        for _ in range(3):
            optimiser.zero_grad()
            loss_of(model, (torch.randn(B, IN), torch.randint(CLASSES, (B,)))).backward()
            optimiser.step()

    found: dict[str, Any] = {}
    if watched:
        with watch(network, optimiser, every=1) as seen:
            steps()
        found = {"series": {name: values.tolist() for name, values in seen.series().items()}, "notes": seen.notes}
    else:
        steps()
    weights = [each.detach().full_tensor() if kind == "fsdp" else each.detach() for each in network.parameters()]
    return {"weights": weights, **found}


def _process(rank: int, folder: str, kind: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save([_train(rank, kind, watched) for watched in (False, True)], f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_processes_that_share_a_network_train_it_to_the_same_bits(kind: str, tmp_path: Path) -> None:
    mp.spawn(_process, (str(tmp_path), kind), nprocs=2)
    results = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    weights = [found["weights"] for process in results for found in process]
    assert all(torch.equal(*pair) for other in weights[1:] for pair in zip(weights[0], other, strict=True))
    first, second = (watched for _, watched in results)
    assert [note for note in first["notes"] if "its own share" in note] == first["notes"]
    after = [np.array(found["series"]["weight_grad_norm_after_clip"]) for found in (first, second)]
    assert np.isfinite(after[0]).all()
    if kind == "ddp":  # where gradients are averaged over the processes; fsdp gives each process a share
        np.testing.assert_allclose(after[0], after[1])
    assert all(np.isfinite(first["series"][name]).all() for name in ("update_ratio", "gradient_rms", "signal_rms"))
