"""What the doctor missed, or cried wolf at, when it first saw the third zoo; each mended, on a network of its own."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.core.doctor.test_diagnose import ill
from vgtemplate import Doctor, diagnose


def net(*last: nn.Module, outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*ill.stack(24, 2, nn.ReLU, outputs=outputs), *last)


def codes(model: nn.Module, loss: Any, batches: Any = None, steps: int = 20, rate: float = 3e-3) -> list[str]:
    torch.manual_seed(0)
    return diagnose(model, batches or ill.classes(), loss, ill.adam(model, rate), steps).codes


@pytest.mark.parametrize("is_ill", [True, False])
def test_targets_of_soft_margins_are_signs(is_ill: bool) -> None:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        yes = (batch[1] > 1).float()
        return F.soft_margin_loss(model(batch[0])[:, 0], yes if is_ill else 2 * yes - 1)

    assert codes(net(), loss) == ["loss-head-mismatch"] * is_ill


@pytest.mark.parametrize("is_ill", [True, False])
def test_poisson_loss_takes_a_logarithm_unless_told_otherwise(is_ill: bool) -> None:
    lost = nn.PoissonNLLLoss(log_input=is_ill)
    found = codes(net(nn.Softplus()), lambda model, batch: lost(model(batch[0])[:, 0], batch[1].float()))
    assert ("loss-head-mismatch" in found) == is_ill


@pytest.mark.parametrize("is_ill", [True, False])
def test_softmax_before_a_log_softmax_is_one_too_many(is_ill: bool) -> None:
    model = net(*([nn.Softmax(1)] * is_ill), nn.LogSoftmax(1), outputs=4)
    assert codes(model, lambda m, batch: F.nll_loss(m(batch[0]), batch[1])) == ["loss-head-mismatch"] * is_ill


def test_sets_are_compared_with_each_other_on_purpose() -> None:
    def loss(model: nn.Module, batch: Any) -> Tensor:
        given, target = model(batch[0]), batch[0][:, :6]
        return (
            F.smooth_l1_loss(given[:, :, None].expand(-1, -1, 6), target[:, None].expand(-1, 4, -1))
            + (given[:, :, None] - target[:, None, :]).abs().mean()
        )

    assert codes(net(outputs=4), loss) == []


@pytest.mark.parametrize("end", [nn.Hardsigmoid(), nn.Hardtanh(0, 1)])
def test_output_that_is_clamped_is_flat(end: nn.Module) -> None:
    model = net(end)
    nn.init.constant_(model[4].bias, -9.0)
    found = codes(model, lambda m, batch: F.mse_loss(m(batch[0])[:, 0], (batch[1] > 1).float()))
    assert "saturated-output" in found


class Forgetful(torch.autograd.Function):
    """A product whose backward pass forgets the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return x @ w.T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (w,) = ctx.saved_tensors
        return gradients[0] @ w, None


class WithFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.w = nn.Linear(16, 24), nn.Linear(24, 4), nn.Parameter(torch.randn(24, 24) / 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(Forgetful.apply(F.relu(self.first(x)), self.w)))


def test_function_of_ones_own_that_gives_no_gradient_is_a_cut() -> None:
    torch.manual_seed(0)
    assert codes(WithFunction(), ill.entropy) == ["disconnected-parameters"]


class WithList(pl.LightningModule):
    def __init__(self, keeps: type) -> None:
        super().__init__()
        self.body, self.heads = nn.Linear(16, 24), keeps([nn.Linear(24, 4)])

    def training_step(self, batch: Any, index: int) -> Tensor:
        return F.cross_entropy(self.heads[0](F.relu(self.body(batch[0]))), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 3e-3)


@pytest.mark.parametrize("keeps", [list, nn.ModuleList])
def test_list_of_layers_is_found_where_a_training_step_uses_it(keeps: type) -> None:
    torch.manual_seed(0)
    doctor, quiet = Doctor(), {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", callbacks=[doctor], enable_model_summary=False, **quiet)
    trainer.fit(WithList(keeps), torch.utils.data.DataLoader(ill.classes(), batch_size=None))
    assert doctor.report.codes == ["unregistered-parameters"] * (keeps is list)


class Holds(nn.Module):
    """A frozen part that is in evaluation mode until somebody calls train()."""

    def __init__(self, stays: bool) -> None:
        super().__init__()
        self.stays, self.part = stays, nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
        self.part.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Holds:
        super().train(mode)
        if self.stays:
            self.part.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x)


@pytest.mark.parametrize("stays", [True, False])
def test_part_that_a_module_within_puts_into_training_mode_moves(stays: bool) -> None:
    model = nn.Sequential(*ill.stack(24, 1, nn.ReLU), Holds(stays), nn.Linear(8, 4))
    assert codes(model, ill.entropy) == ["frozen-buffers-move"] * (not stays)


def test_loss_that_is_thrown_up_and_falls_again_was_thrown_by_the_steps() -> None:
    model = net(outputs=4)
    assert "step-too-large" in codes(model, ill.entropy, steps=60, rate=1.0)


class HalfRoot(nn.Module):
    """A normalisation whose square is too large for float16; what divides by infinity is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(16, 24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = (1000 * self.first(x)).half()
        return self.last((h * torch.rsqrt(torch.square(h).mean(1, keepdim=True))).float())


def test_overflow_that_a_division_hides_is_one() -> None:
    torch.manual_seed(0)
    assert "precision-overflow" in codes(HalfRoot(), ill.entropy)


def test_all_samples_are_one_from_the_first_layer_on() -> None:
    class SameForAll(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.each, self.last = nn.LayerNorm(1), nn.Linear(1, 24), nn.Linear(24, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.each(self.norm(x[:, :, None]))).mean(1))

    torch.manual_seed(0)
    assert "signal-collapse" in codes(SameForAll(), ill.entropy)


class WithRates(nn.Module):
    """Steps once within itself, at rates that are learned and begin alike."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.rates = ill.stack(24, 2, nn.ReLU), nn.Parameter(torch.full((4, 24), 0.1))

    def forward(self, batch: Any) -> Tensor:
        x, y = batch
        weights = dict(self.body.named_parameters())
        inner = F.cross_entropy(torch.func.functional_call(self.body, weights, (x[:32],)), y[:32])
        (slope,) = torch.autograd.grad(inner, [weights["4.weight"]], create_graph=True)
        weights["4.weight"] = weights["4.weight"] - self.rates * slope
        return F.cross_entropy(torch.func.functional_call(self.body, weights, (x[32:],)), y[32:])


def test_rates_that_are_learned_may_begin_alike() -> None:
    torch.manual_seed(0)
    assert codes(WithRates(), lambda model, batch: model(batch), steps=60) == []
