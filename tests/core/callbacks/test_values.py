"""Every series of the probes against autograd by hand on plain torch.nn networks with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vgtemplate.callbacks.dead_units import DeadUnitProbe
from vgtemplate.records import SERIES

NETWORKS: dict[str, dict[str, dict[str, Any]]] = {
    "sigmoid": {"model": {"activation": "sigmoid", "bias": "normal"}, "optimiser": {"lr": 1.0}},
    "relu clipped": {
        "model": {"activation": "relu", "width": [5, 3]},
        "clipping": {"kind": "norm", "threshold": 0.3},
        "optimiser": {"momentum": 0.9},
    },
    "tanh, no biases": {"model": {"activation": "tanh", "bias": "none", "depth": 1}},
    "saturated tanh": {"model": {"activation": "tanh", "initialiser": {"name": "normal", "std": 1}, "depth": 5}},
    "batch norm, shortcuts": {"model": {"activation": "relu", "norm": "batch", "residual": True, "bias": "normal"}},
    "cnn": {"model": {"kind": "cnn", "activation": "elu", "num_stages": 2, "width": [3, 2], "bias": "normal"}},
    "cnn of relu": {"model": {"kind": "cnn", "activation": "relu", "norm": "batch", "width": 2, "num_stages": 1}},
    "dead relu": {"model": {"activation": "relu", "bias": "normal", "initialiser": {"name": "normal", "std": 0.01}}},
}
ON_REQUEST = {"input_shift", "gradient_change"}
PROBED = {name for name, axes in SERIES.items() if axes.axes == ("replica", "probe_step", "layer")} - ON_REQUEST


@pytest.mark.parametrize("sections", NETWORKS.values(), ids=NETWORKS)
def test_every_series_is_what_autograd_gives_by_hand(sections: dict[str, Any], lab: Any) -> None:
    module, batches = lab.module(**sections), lab.batches(4)
    expected = lab.probe_by_hand(module, batches, lab.probe_images())
    recorder, callbacks = lab.probes()
    dead_units = DeadUnitProbe()
    lab.run(module, batches, *callbacks, dead_units)
    measured = recorder.series() | dead_units.series()
    assert set(measured) == set(expected)
    assert set(measured) == (PROBED | {"dead_fraction"}) - (
        set() if module.config.model.bias != "none" else {"bias_grad_norm"}
    )
    assert recorder.steps == [0, 1, 2, 3]
    for name, values in expected.items():
        assert measured[name].dtype == np.float64
        times = 2 if name == "dead_fraction" else 4
        assert measured[name].shape == (len(lab.seeds), times, module.config.model.depth)
        # Batch normalisation takes a bias out: its gradient is a rounding error.
        rounding = 1e-13 if name == "bias_grad_norm" else 1e-15
        np.testing.assert_allclose(measured[name], values.numpy(), rtol=1e-10, atol=rounding, err_msg=name)


def test_the_networks_show_what_they_are_for(lab: Any) -> None:
    """A comparison of zeros with zeros would prove nothing."""

    def series(name: str) -> dict[str, Any]:
        module = lab.module(**NETWORKS[name])
        return lab.probe_by_hand(module, lab.batches(4), lab.probe_images())

    assert 0 < series("dead relu")["dead_fraction"].max() < 1
    assert 0.2 < series("saturated tanh")["saturated_fraction"].max() < 1
    clipped = series("relu clipped")
    assert (clipped["weight_grad_norm_after_clip"] < 0.9 * clipped["weight_grad_norm_before_clip"]).any()
    assert (clipped["travel"][:, 1:] != clipped["update_ratio"][:, 1:]).all()


def test_layers_are_named_from_the_input(lab: Any) -> None:
    recorder, callbacks = lab.probes()
    lab.run(lab.module(model={"depth": 10}), lab.batches(1), *callbacks)
    assert recorder.layers == [f"layer_{number:02d}" for number in range(1, 11)]


def test_single_precision_agrees_with_double(lab: Any) -> None:
    """A gradient of 1e-30 is measured, although its square is no float32."""
    deep = {"model": {"activation": "sigmoid", "depth": 30, "initialiser": {"name": "glorot_normal", "gain": 0.5}}}
    series = []
    for dtype in ("float", "double"):
        module = getattr(lab.module(**deep), dtype)()
        recorder, callbacks = lab.probes()
        lab.run(module, lab.batches(1, dtype=next(module.parameters()).dtype), *callbacks)
        series.append(recorder.series())
    single, double = series
    assert double["gradient_rms"].min() < 1e-23
    for name in ("gradient_rms", "weight_grad_norm_after_clip", "signal_rms", "derivative_rms"):
        np.testing.assert_allclose(single[name], double[name], rtol=1e-3, err_msg=name)


def test_replica_of_nans_leaves_the_others_values_alone(lab: Any) -> None:
    batches = lab.batches(2)
    found = []
    for broken in (False, True):
        module = lab.module(model={"activation": "relu"})
        if broken:
            module.model.hidden_layers[0].linear.weight.data[1] = float("nan")
        recorder, callbacks = lab.probes()
        lab.run(module, batches, *callbacks)
        found.append(recorder.series())
    for name, values in found[1].items():
        np.testing.assert_array_equal(values[[0, 2]], found[0][name][[0, 2]], err_msg=name)
        if name not in {"derivative_rms", "saturated_fraction"}:  # max(0, nan) has a derivative: 0
            assert np.isnan(values[1, :, 0]).all(), name
