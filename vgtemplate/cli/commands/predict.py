"""`vgt predict`: what theory expects of a network's signal and gradient before it is trained."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.markup import escape

from vgtemplate.cli import complete
from vgtemplate.cli.console import make_console, print_json
from vgtemplate.cli.extension import load_file
from vgtemplate.cli.profile import advice, profile_table, verdict
from vgtemplate.cli.slopes import print_slopes
from vgtemplate.config.catalogue import ACTIVATIONS, check_name
from vgtemplate.config.errors import UserError
from vgtemplate.config.experiment import ExperimentConfig
from vgtemplate.config.load import resolve_arms
from vgtemplate.config.schema import ArmConfig
from vgtemplate.config.shipped import find_experiment
from vgtemplate.data.files import AUTO_FIRST, data_root, is_present, resolve
from vgtemplate.data.sources import load_images
from vgtemplate.data.statistics import scale_first, typical_mean_squares
from vgtemplate.prediction import built_in, layers_and_inputs, narrowest, predict_arm, theory_activation
from vgtemplate.text import plain_number
from vgtemplate.theory.correlation import depth_scales
from vgtemplate.theory.critical import balancing_factor, critical_sigma_w_sq
from vgtemplate.theory.layers import Layer
from vgtemplate.theory.profiles import Prediction

_MNIST_SHAPE, _CIFAR_SHAPE = (1, 28, 28), (3, 32, 32)


@dataclass(frozen=True)
class _Images:
    """What a network is sent: an image's shape, the typical images (None: standardised ones), and both in words."""

    shape: tuple[int, ...]
    inputs: npt.NDArray[np.float64] | None
    words: str


@dataclass(frozen=True)
class _Network:
    """What is predicted."""

    name: str
    config: ArmConfig
    images: _Images


@click.command()
@click.option(
    "--activation", metavar="NAME", shell_complete=complete.activations, help="E.g. tanh; required without --arm."
)
@click.option(
    "--init",
    "initialiser",
    metavar="NAME",
    shell_complete=complete.initialisers,
    help="E.g. lecun_normal.  [default: the activation's usual one]",
)
@click.option(
    "--gain",
    type=click.FloatRange(0, 1e100, min_open=True),
    help="Factor on the initialiser's standard deviation.  [default: 1]",
)
@click.option("--depth", type=int, help="Number of hidden layers.  [default: 20]")
@click.option("--width", type=int, help="Units per hidden layer.  [default: 64]")
@click.option("--norm", metavar="NAME", shell_complete=complete.norms, help="none, batch or layer.  [default: none]")
@click.option("--residual", is_flag=True, help="Add each hidden layer's input to its output.")
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=complete.datasets,
    help="Send in its images.  [default: standardised ones of 28x28 pixels]",
)
@click.option(
    "--arm",
    metavar="FILE.yaml:ARM",
    shell_complete=complete.arms_of_files,
    help="A network of an experiment; the options above change it.",
)
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="E.g. model.bias=normal.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it: .png, .svg or .pdf.")
@click.option("--records", is_flag=True, help="Instead: predicted beside measured, for every arm that has a record.")
@click.option("--json", "as_json", is_flag=True, help="Print numbers instead of a table.")
def predict(arm: str | None, plot: Path | None, records: bool, as_json: bool, **options: Any) -> None:
    """Predict signal and gradient, layer by layer, of a network at initialisation (mean-field theory)."""
    console = make_console()
    if records:
        if arm is not None or plot is not None or any(options.values()):
            raise UserError("--records shows every arm that has a record: it goes with --json only")
        print_slopes(console, as_json)
        return
    network = _network(arm, **options)
    images = network.images
    prediction = predict_arm(network.config, images.shape, images.inputs)
    if plot is not None:
        _draw(plot, prediction, network)
    facts = _facts(network.config, *layers_and_inputs(network.config, images.shape, images.inputs))
    if as_json:
        print_json(_plain(network, prediction, facts))
        return
    console.print(f"[bold]{escape(network.name)}[/bold]; {escape(images.words)}", highlight=False)
    console.print(profile_table(prediction, console.width))
    model = built_in(network.config)
    for line in (verdict(prediction, narrowest(model)), *advice(model, facts)):
        console.print(line, markup=False, highlight=False)
    if plot is not None:
        console.print(f"drawn: {plot}", markup=False, highlight=False)


def _overrides(options: dict[str, Any]) -> tuple[str, ...]:
    """Return the options as texts of `--set`, in whose words a mistake is answered; a gain needs an initialiser."""
    names = ("activation", "depth", "width", "norm")
    texts = [f"model.{name}={options[name]}" for name in names if options[name] is not None]
    if options["residual"]:
        texts.append("model.residual=true")
    initialiser, gain = options["initialiser"], options["gain"]
    if initialiser is not None:
        texts.append(f"model.initialiser={initialiser}" if gain is None else f"model.initialiser.name={initialiser}")
    if gain is not None and math.isnan(gain):
        raise UserError("--gain: nan is no number; allowed: above 0, at most 1e100")
    if gain is not None:
        texts.append(f"model.initialiser.gain={gain}")
    if options["dataset"] is not None:
        texts.append(f"data.dataset={options['dataset']}")
    return (*texts, *options["overrides"])


def _network(arm: str | None, **options: Any) -> _Network:
    """Return the network that the options describe.

    Raises:
        UserError: a name or a number is wrong, or the data cannot be had.
    """
    if arm is not None:
        name, config = _arm(arm, _overrides(options | {"gain": None}))
        if options["gain"] is not None:
            usual = options["initialiser"] or built_in(config).initialiser.name
            name, config = _arm(arm, _overrides(options | {"initialiser": usual}))
    elif options["activation"] is None:
        raise UserError("which network? name an --activation, e.g. tanh, or an --arm FILE.yaml:ARM")
    else:
        check_name("activation", options["activation"], ACTIVATIONS)
        experiment = ExperimentConfig(arms={"network": {"model": {"depth": 20}}})
        usual = options["initialiser"] or ACTIVATIONS[options["activation"]].initialiser
        texts = _overrides(options | {"initialiser": usual})
        config = resolve_arms(Path("vgt predict"), experiment, texts)["network"]
        name = _describe(config)
    built_in(config)  # before any data are looked for
    root = data_root()
    dataset = AUTO_FIRST if config.data.dataset == "auto" else config.data.dataset
    if options["dataset"] is not None:
        return _Network(name, config, _images(config, resolve(options["dataset"], root), root))
    # Nothing is fetched that was not asked for.
    is_there = arm is not None and is_present(dataset, root)
    return _Network(name, config, _images(config, dataset if is_there else None, root))


def _arm(text: str, overrides: tuple[str, ...]) -> tuple[str, ArmConfig]:
    """Return the arm of FILE.yaml:ARM; of a file with one arm its name may be left out."""
    file, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    path = find_experiment(Path(file))
    experiment = load_file(path)
    if not experiment.arms:
        raise UserError(f"{file}: has no arms: there is no network to predict")
    if not name and len(experiment.arms) == 1:
        name = next(iter(experiment.arms))
    check_name(f"arm of {file}", name, experiment.arms)
    alone = experiment.model_copy(update={"arms": {name: experiment.arms[name]}})
    return f"{path.stem}: {name}", resolve_arms(path, alone, overrides)[name]


def _describe(config: ArmConfig) -> str:
    model = built_in(config)
    words = [model.activation, model.initialiser.name, f"depth {model.depth}", f"width {model.width}"]
    if model.initialiser.gain != 1:
        words[1] += f" times {model.initialiser.gain:g}"
    if model.norm != "none":
        words.append(f"{model.norm} normalisation")
    if model.residual:
        words.append("residual")
    return ", ".join(words)


def _images(config: ArmConfig, name: str | None, root: Path) -> _Images:
    """Return what a network is sent: images of the data set `name`, or standardised ones where it is None."""
    if name is None:
        shape = _CIFAR_SHAPE if config.data.dataset.startswith("cifar") else _MNIST_SHAPE
        return _Images(shape, None, f"standardised images of {shape[1]}x{shape[2]} pixels")
    images = load_images(config.data.model_copy(update={"dataset": name}), root)
    num_train = config.data.num_train
    if config.data.draw == "per_seed":
        num_train = len(images.train_images) - config.data.num_validation
    scaled = scale_first(images, num_train, config.data.scaling)
    return _Images(
        images.train_images.shape[1:], typical_mean_squares(scaled, built_in(config).kind == "mlp"), f"images of {name}"
    )


def _facts(config: ArmConfig, layers: list[Layer], inputs: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Return what theory says of the weights' scale: the critical ones, and over how many layers things change."""
    model = built_in(config)
    facts: dict[str, Any] = {"gain": None, "critical_gain": None, "balancing_gain": None, "depth_scales": None}
    if model.norm != "none" or model.residual or len(layers) < 2:
        return facts
    activation, layer = theory_activation(model.activation), layers[1]
    gain, sigma_b_sq = math.sqrt(layer.sigma_w_sq), layer.bias_std**2
    critical = math.sqrt(critical_sigma_w_sq(activation, sigma_b_sq))
    balancing = gain * balancing_factor(activation, layers, inputs)
    facts |= {"gain": gain, "critical_gain": critical, "balancing_gain": balancing}
    if layer.kernel == 1 and len({layer.width for layer in layers}) == 1:
        facts["depth_scales"] = asdict(depth_scales(activation, layer.sigma_w_sq, sigma_b_sq))
    return facts


def _plain(network: _Network, prediction: Prediction, facts: dict[str, Any]) -> dict[str, Any]:
    """Return a prediction as plain data: numbers as `plain_number` writes them."""
    low, high = prediction.gradient_band
    profiles = {
        "q": prediction.q,
        "log10_signal_rms": prediction.log10_signal_rms,
        "log10_gradient_rms": prediction.log10_gradient_rms,
        "log10_gradient_low": low,
        "log10_gradient_high": high,
    }
    return {
        "network": network.name,
        "configuration": built_in(network.config).model_dump(mode="json"),
        "images": network.images.words,
        "gradient_slope": plain_number(prediction.gradient_slope),
        "gradient_slope_band": [plain_number(end) for end in prediction.gradient_slope_band],
        "signal_slope": plain_number(prediction.signal_slope),
        "total_change": plain_number(prediction.total_change),
        **{name: _plain_fact(fact) for name, fact in facts.items()},
        **{name: [plain_number(value) for value in values] for name, values in profiles.items()},
    }


def _plain_fact(fact: float | dict[str, float] | None) -> object:
    if isinstance(fact, dict):
        return {name: plain_number(value) for name, value in fact.items()}
    return None if fact is None else plain_number(fact)


def _draw(path: Path, prediction: Prediction, network: _Network) -> None:
    from vgtemplate.figures.theory import draw_prediction, write_figure

    write_figure(path, draw_prediction(prediction, network.name, narrowest(built_in(network.config))))
