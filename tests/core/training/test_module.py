"""The LightningModule against as many plain torch networks as it has replicas, trained by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vgtemplate.config.schema import ArmConfig
from vgtemplate.nn.build import build_model
from vgtemplate.training.module import PopulationModule, ReplicaMean

SEEDS = [5, 0, 9]
R, B, K = len(SEEDS), 6, 4
SHAPE = (1, 4, 4)
Batch = tuple[Tensor, Tensor]


class Loader:
    """Batches in memory; a bare list would be taken for several loaders."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def make_batches(count: int, seed: int = 0, sizes: list[int] | None = None) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(R, size, *SHAPE, dtype=torch.float64, generator=generator),
            torch.randint(0, K, (R, size), generator=generator),
        )
        for size in (sizes or [B] * count)
    ]


def make_module(**sections: dict[str, Any]) -> PopulationModule:
    model = {"depth": 2, "width": 5, "activation": "tanh"} | sections.pop("model", {})
    config = ArmConfig.model_validate({"model": model, **sections})
    return PopulationModule(build_model(config.model, SHAPE, K, SEEDS).double(), config, R)


def make_trainer(**settings: Any) -> pl.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(accelerator="cpu", max_epochs=1, **(quiet | {"num_sanity_val_steps": 0} | settings))


def plain_networks(module: PopulationModule) -> list[nn.Sequential]:
    """Plain networks with copies of the replicas' weights."""
    layers = [*(hidden.linear for hidden in module.model.hidden_layers), module.model.output]
    networks = []
    for r in range(R):
        steps: list[nn.Module] = [nn.Flatten()]
        for layer in layers:
            linear = nn.Linear(layer.weight.shape[1], layer.weight.shape[2]).double()
            linear.weight.data = layer.weight.data[r].T.clone()
            linear.bias.data = layer.bias.data[r].clone()
            steps += [linear, nn.Tanh()]
        networks.append(nn.Sequential(*steps[:-1]))
    return networks


def assert_same_weights(module: PopulationModule, networks: list[nn.Sequential]) -> None:
    layers = [*(hidden.linear for hidden in module.model.hidden_layers), module.model.output]
    for r, network in enumerate(networks):
        plain = [step for step in network if isinstance(step, nn.Linear)]
        for layer, linear in zip(layers, plain, strict=True):
            torch.testing.assert_close(layer.weight[r], linear.weight.T, rtol=1e-11, atol=1e-14)
            torch.testing.assert_close(layer.bias[r], linear.bias, rtol=1e-11, atol=1e-14)


def train_by_hand(networks: list[nn.Sequential], batches: list[Batch], clip: Any = None, **settings: Any) -> None:
    for r, network in enumerate(networks):
        optimiser = torch.optim.SGD(network.parameters(), **({"lr": 0.1} | settings))
        for images, labels in batches:
            optimiser.zero_grad()
            F.cross_entropy(network(images[r]), labels[r]).backward()
            if clip is not None:
                clip(network.parameters())
            optimiser.step()


def test_every_replica_trains_as_a_plain_network_does() -> None:
    module, batches = make_module(optimiser={"lr": 0.3, "momentum": 0.9}), make_batches(5)
    networks = plain_networks(module)
    make_trainer().fit(module, Loader(batches))
    train_by_hand(networks, batches, lr=0.3, momentum=0.9)
    assert_same_weights(module, networks)


def test_l1_penalty_pulls_on_weights_and_not_on_biases() -> None:
    module, batches = make_module(optimiser={"lr": 0.3, "l1": 0.01}), make_batches(5)
    networks = plain_networks(module)
    make_trainer().fit(module, Loader(batches))
    for r, network in enumerate(networks):
        optimiser = torch.optim.SGD(network.parameters(), lr=0.3)
        for images, labels in batches:
            optimiser.zero_grad()
            weights = [step.weight for step in network if isinstance(step, nn.Linear)]
            penalty = 0.01 * sum(weight.abs().sum() for weight in weights)
            (F.cross_entropy(network(images[r]), labels[r]) + penalty).backward()
            optimiser.step()
    assert_same_weights(module, networks)


def test_score_over_batches_is_the_test_score_and_changes_nothing() -> None:
    module, batches = make_module(model={"norm": "batch"}), make_batches(0, sizes=[6, 2, 5])
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.train()
    scores = module.score_over(Loader(batches))
    assert module.training
    make_trainer().test(module, Loader(batches), verbose=False)
    torch.testing.assert_close(scores, module.test_scores)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def clip_norm(max_norm: float) -> Any:
    return lambda parameters: nn.utils.clip_grad_norm_(parameters, max_norm)


def clip_value(max_abs: float) -> Any:
    return lambda parameters: nn.utils.clip_grad_value_(parameters, max_abs)


CLIPPINGS: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {
    "configuration's norm": ({"kind": "norm", "threshold": 0.2}, {}, clip_norm(0.2)),
    "configuration's value": ({"kind": "value", "threshold": 0.03}, {}, clip_value(0.03)),
    "trainer's norm": ({}, {"gradient_clip_val": 0.2}, clip_norm(0.2)),
    "trainer's norm by name": ({}, {"gradient_clip_val": 1, "gradient_clip_algorithm": "norm"}, clip_norm(1.0)),
    "trainer's value": ({}, {"gradient_clip_val": 0.03, "gradient_clip_algorithm": "value"}, clip_value(0.03)),
    "trainer over configuration": ({"kind": "norm", "threshold": 0.2}, {"gradient_clip_val": 0.05}, clip_norm(0.05)),
    "trainer's none over configuration": ({"kind": "norm", "threshold": 0.2}, {"gradient_clip_val": 0}, None),
    "threshold of no clipping": ({"kind": "none", "threshold": 0.2}, {}, None),
}


@pytest.mark.parametrize(("configuration", "settings", "clip"), CLIPPINGS.values(), ids=CLIPPINGS)
def test_clipping_is_a_replica_at_a_time_whoever_asks_for_it(
    configuration: dict[str, Any], settings: dict[str, Any], clip: Any
) -> None:
    module, batches = make_module(clipping=configuration), make_batches(3)
    batches[0][0][1] *= 30  # one replica's gradient is larger than the others'
    networks = plain_networks(module)
    make_trainer(**settings).fit(module, Loader(batches))
    train_by_hand(networks, batches, clip)
    assert_same_weights(module, networks)


def test_training_step_returns_each_replicas_loss_and_accuracy() -> None:
    kept: list[dict[str, Tensor]] = []

    class Keeper(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            kept.append(outputs)

    module, batches = make_module(optimiser={"lr": 0.0}), make_batches(2)
    networks = plain_networks(module)
    make_trainer(callbacks=[Keeper()]).fit(module, Loader(batches))
    for outputs, (images, labels) in zip(kept, batches, strict=True):
        logits = [network(images[r]) for r, network in enumerate(networks)]
        losses = torch.stack([F.cross_entropy(logits[r], labels[r]) for r in range(R)])
        accuracies = torch.stack([(logits[r].argmax(1) == labels[r]).float().mean() for r in range(R)])
        torch.testing.assert_close(outputs["losses"], losses.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(outputs["scores"], accuracies)
        torch.testing.assert_close(outputs["loss"].detach(), losses.sum().detach(), rtol=1e-12, atol=0)
        assert not outputs["losses"].requires_grad
        assert not outputs["scores"].requires_grad


def evaluated(module: PopulationModule, batches: list[Batch]) -> tuple[Tensor, Tensor]:
    """Loss and accuracy of each replica over all images at once."""
    images, labels = (torch.cat([batch[part] for batch in batches], dim=1) for part in (0, 1))
    with torch.no_grad():
        logits = [network(images[r]) for r, network in enumerate(plain_networks(module))]
    losses = torch.stack([F.cross_entropy(logits[r], labels[r]) for r in range(R)])
    return losses, torch.stack([(logits[r].argmax(1) == labels[r]).double().mean() for r in range(R)])


def test_test_results_are_means_over_images_not_over_batches() -> None:
    module, batches = make_module(), make_batches(0, sizes=[6, 6, 1])
    make_trainer().test(module, Loader(batches), verbose=False)
    losses, accuracies = evaluated(module, batches)
    torch.testing.assert_close(module.test_losses, losses, rtol=1e-12, atol=0)
    torch.testing.assert_close(module.test_scores, accuracies, rtol=1e-6, atol=0)
    make_trainer().test(module, Loader(batches[:1]), verbose=False)
    torch.testing.assert_close(module.test_losses, evaluated(module, batches[:1])[0], rtol=1e-12, atol=0)


def test_validations_are_kept_with_their_steps_and_start_afresh() -> None:
    module, validation = make_module(optimiser={"lr": 0.0}), make_batches(2, seed=7)
    trainer = make_trainer(val_check_interval=2, check_val_every_n_epoch=None)
    trainer.fit(module, Loader(make_batches(4)), Loader(validation))
    losses, accuracies = evaluated(module, validation)
    assert [step for step, _, _ in module.validations] == [2, 4]
    for _, loss, accuracy in module.validations:
        torch.testing.assert_close(loss, losses, rtol=1e-12, atol=0)
        torch.testing.assert_close(accuracy, accuracies, rtol=1e-6, atol=0)


def test_evaluation_changes_no_weight_and_no_running_statistic() -> None:
    module = make_module(model={"norm": "batch", "dropout": 0.3})
    before = {name: tensor.clone() for name, tensor in module.model.state_dict().items()}
    make_trainer().test(module, Loader(make_batches(2)), verbose=False)
    for name, tensor in module.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_one_replica_keeps_its_axis() -> None:
    config = ArmConfig.model_validate({"model": {"depth": 1, "width": 3}})
    module = PopulationModule(build_model(config.model, SHAPE, K, [0]).double(), config, 1)
    batches = [(images[:1], labels[:1]) for images, labels in make_batches(2)]
    make_trainer().test(module, Loader(batches), verbose=False)
    assert module.test_losses.shape == module.test_scores.shape == (1,)


def test_noise_of_a_step_depends_on_the_step_alone() -> None:
    """Two runs of which the second skips the first batch see the same noise in the same step."""
    outputs: list[list[Tensor]] = []
    for skip in (False, True):
        module = make_module(model={"dropout": 0.5}, optimiser={"lr": 0.0})
        seen: list[Tensor] = []
        module.model.register_forward_hook(lambda *arguments, seen=seen: seen.append(arguments[2].detach()))
        batches = make_batches(3)
        make_trainer().fit(module, Loader([batches[1], *batches[1:]] if skip else batches))
        outputs.append(seen)
    (first, second, third), (other, same, equal) = outputs
    assert torch.equal(second, same)
    assert torch.equal(third, equal)
    assert not torch.equal(first, other)
    assert not torch.equal(other, same)  # the same batch in another step


def test_loggers_get_the_mean_over_the_replicas(tmp_path: Any) -> None:
    from pytorch_lightning.loggers import CSVLogger

    module, batches = make_module(optimiser={"lr": 0.0}), make_batches(2)
    trainer = make_trainer(logger=CSVLogger(tmp_path), log_every_n_steps=1)
    trainer.fit(module, Loader(batches), Loader(batches))
    losses, accuracies = evaluated(module, batches)
    assert trainer.callback_metrics["validation_loss"].item() == pytest.approx(losses.mean().item())
    assert trainer.callback_metrics["validation_accuracy"].item() == pytest.approx(accuracies.mean().item())
    last = evaluated(module, batches[1:])[0].mean().item()
    assert trainer.logged_metrics["train_loss"].item() == pytest.approx(last)


def test_replica_mean_weights_batches_by_their_size() -> None:
    metric = ReplicaMean(2)
    metric.update(torch.tensor([1.0, 2.0]), 3)
    metric.update(torch.tensor([5.0, 0.0]), 1)
    torch.testing.assert_close(metric.compute(), torch.tensor([2.0, 1.5], dtype=torch.float64))
    metric.reset()
    metric.update(torch.tensor([7.0, 7.0]), 2)
    assert metric.compute().tolist() == [7.0, 7.0]


def test_probe_images_are_no_part_of_the_state() -> None:
    config = ArmConfig.model_validate({"model": {"depth": 1, "width": 3}})
    model = build_model(config.model, SHAPE, K, SEEDS).double()
    module = PopulationModule(model, config, R, torch.zeros(2, *SHAPE))
    assert not [name for name, _ in module.named_buffers() if "probe" in name]
    assert not [name for name in module.state_dict() if "probe" in name]
    make_trainer(max_steps=1).fit(module, Loader(make_batches(1)))
    assert module.probe_images is not None
    assert module.probe_images.dtype == torch.float64
