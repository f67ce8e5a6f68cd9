"""A population of someone's own networks against the same networks trained one by one in plain PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from vgtemplate.config.errors import UserError
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.nn.noise import set_step
from vgtemplate.nn.replicate import replicate

SEEDS = [5, 0, 12]
K = 3


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 5), nn.PReLU(), nn.Linear(5, K))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.GroupNorm(2, 4),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, K),
    )


def dropout_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), nn.Dropout(0.5), nn.Tanh(), nn.Linear(9, 9), nn.AlphaDropout(0.2), nn.ELU())


def dropout_cnn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.Dropout2d(0.5), nn.ReLU(), nn.Flatten())


class Attention(nn.Module):
    """A transformer layer over a sequence, read out at its end."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout, activation="gelu", batch_first=True)
        self.output = nn.Linear(4, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layer(x)[:, -1])


class Recurrent(nn.Module):
    """A recurrent layer over a sequence, read out at its end."""

    def __init__(self, kind: type[nn.Module], dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = kind(4, 5, 2, batch_first=True, dropout=dropout)
        self.output = nn.Linear(5, K)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layer(x)[0][:, -1])


class Tied(nn.Module):
    """One weight, used twice under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x)))[:, :K]


class Counting(nn.Module):
    """Keeps statistics of its own: one buffer is replaced, one changed in place, one never saved."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, K)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("offset", torch.rand(6), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(dim=0)
            self.steps += 1
        return self.linear(x - self.mean + self.offset)


class Noisy(nn.Module):
    """Draws in many ways: with sizes, like a tensor, in place, from distributions."""

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, dtype=x.dtype) + torch.rand_like(x) + torch.empty_like(x).exponential_()
        noise = noise + torch.randint(0, 9, x.shape) + torch.normal(torch.zeros_like(x), 2.0)
        return x + noise + F.gumbel_softmax(x) + torch.randn(x.shape[-1:], dtype=x.dtype)


INPUTS = {mlp: (4, 6), cnn: (4, 2, 6, 4), Attention: (4, 5, 4), Tied: (4, 6), Counting: (4, 6)}


def batch(shape: tuple[int, ...], step: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(len(SEEDS), *shape, generator=generator, dtype=torch.float64)
    return x, torch.randint(K, (len(SEEDS), shape[0]), generator=generator)


def plain_networks(factory: Callable[[], nn.Module], seeds: list[int] = SEEDS) -> Iterator[nn.Module]:
    """What a user would write for each seed."""
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, Stream.WEIGHTS))
            yield factory().double()


def plain_forward(network: nn.Module, x: Tensor, seed: int, step: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, Stream.NOISE, 0, step))
        return network(x)


def check_training(factory: Callable[[], nn.Module], shape: tuple[int, ...], vectorise: bool = True) -> None:
    """20 steps of SGD, side by side; then everything there is to compare."""
    population = replicate(factory, SEEDS, vectorise=vectorise).double()
    networks = list(plain_networks(factory))
    rules = [torch.optim.SGD(module.parameters(), 0.05, momentum=0.9) for module in (population, *networks)]
    for step in range(20):
        x, labels = batch(shape, step)
        set_step(population, step)
        for rule in rules:
            rule.zero_grad()
        logits = population(x)
        assert logits.shape == (len(SEEDS), shape[0], K)
        torch.stack([F.cross_entropy(z, y) for z, y in zip(logits, labels, strict=True)]).sum().backward()
        for replica, (seed, network) in enumerate(zip(SEEDS, networks, strict=True)):
            expected = plain_forward(network, x[replica], seed, step)
            torch.testing.assert_close(logits[replica], expected, rtol=0, atol=1e-9)
            F.cross_entropy(expected, labels[replica]).backward()
        for rule in rules:
            rule.step()
    assert_equal_to(population, networks)
    population.eval()
    for replica, network in enumerate(networks):
        torch.testing.assert_close(population(x)[replica], network.eval()(x[replica]), rtol=0, atol=1e-9)


def assert_equal_to(population: nn.Module, networks: list[nn.Module]) -> None:
    ours = {**dict(population.network.named_parameters()), **dict(population.network.named_buffers())}
    for replica, network in enumerate(networks):
        theirs = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        assert list(ours) == list(theirs)
        for name, tensor in theirs.items():
            torch.testing.assert_close(ours[name][replica], tensor, rtol=0, atol=1e-9, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("vectorise", [True, False])
@pytest.mark.parametrize("factory", list(INPUTS))
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_population_trains_like_separate_networks(factory: Callable[[], nn.Module], vectorise: bool) -> None:
    check_training(factory, INPUTS[factory], vectorise)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_population_trains_like_separate_networks_in_turn(kind: type[nn.Module]) -> None:
    check_training(lambda: Recurrent(kind, dropout=0.3), (4, 5, 4), vectorise=False)


@pytest.mark.parametrize("factory", [lambda: Recurrent(nn.GRU), lambda: nn.RReLU()], ids=["gru", "rrelu"])
def test_what_vmap_does_not_know_is_refused_with_the_way_out(factory: Callable[[], nn.Module]) -> None:
    with pytest.raises(UserError, match="vectorise=False") as raised:
        replicate(factory, SEEDS, vectorise=True).double()(batch((4, 5, 4))[0])
    assert "\n" not in str(raised.value)


def test_networks_own_error_is_passed_on() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):
        replicate(mlp, SEEDS).double()(batch((4, 7))[0])


@pytest.mark.parametrize("factory", [mlp, cnn, Counting])
def test_replica_starts_as_the_same_network_whatever_stands_beside_it(factory: Callable[[], nn.Module]) -> None:
    together, alone = replicate(factory, SEEDS), replicate(factory, [SEEDS[1]])
    plain = next(plain_networks(factory, [SEEDS[1]]))
    tensors = {**dict(plain.named_parameters()), **dict(plain.named_buffers())}
    for name, tensor in tensors.items():
        ours = together.network.get_parameter(name) if isinstance(tensor, nn.Parameter) else together.network
        ours = ours if isinstance(ours, Tensor) else together.network.get_buffer(name)
        theirs = dict([*alone.network.named_parameters(), *alone.network.named_buffers()])[name]
        assert torch.equal(ours[1], theirs[0])
        torch.testing.assert_close(ours[1].to(tensor.dtype), tensor, rtol=0, atol=0)


@pytest.mark.parametrize("vectorise", [True, False])
@pytest.mark.parametrize(
    ("factory", "shape"),
    [(dropout_mlp, (4, 6)), (dropout_cnn, (4, 2, 5, 4)), (Noisy, (4, 6))],
    ids=["mlp", "cnn", "noisy"],
)
def test_noise_is_what_the_replica_draws_alone(
    factory: Callable[[], nn.Module], shape: tuple[int, ...], vectorise: bool
) -> None:
    """And it is that of a plain network under torch.manual_seed."""
    population = replicate(factory, SEEDS, vectorise=vectorise).double()
    alone = replicate(factory, SEEDS[1:2], vectorise=vectorise).double()
    networks = list(plain_networks(factory))
    x, _ = batch(shape)
    for step in (0, 3):
        set_step(population, step)
        set_step(alone, step)
        y = population(x)
        torch.testing.assert_close(y[1], alone(x[1:2])[0], rtol=0, atol=1e-9)
        for replica, (seed, network) in enumerate(zip(SEEDS, networks, strict=True)):
            torch.testing.assert_close(y[replica], plain_forward(network, x[replica], seed, step), rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_attention_dropout_is_the_replicas_own() -> None:
    population = replicate(lambda: Attention(0.4), SEEDS).double()
    alone = replicate(lambda: Attention(0.4), [SEEDS[2]]).double()
    x, _ = batch((4, 5, 4))
    torch.testing.assert_close(population(x)[2], alone(x[2:])[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("vectorise", [True, False])
def test_noise_depends_on_seed_and_step_alone(vectorise: bool) -> None:
    population = replicate(lambda: nn.Dropout(0.5), SEEDS, vectorise=vectorise)
    x = torch.ones(3, 1000)
    first = population(x)
    torch.rand(7)
    assert torch.equal(population(x), first)
    set_step(population, 1)
    masks = [*first, *population(x)]
    for index, mask in enumerate(masks):
        assert 0.4 < (mask == 0).float().mean() < 0.6
        for other in masks[:index]:
            assert 0.4 < (mask == other).float().mean() < 0.6
    assert torch.equal(population.eval()(x), x)


@pytest.mark.parametrize("vectorise", [True, False])
def test_global_generator_is_left_alone(vectorise: bool) -> None:
    before = torch.get_rng_state()
    population = replicate(dropout_mlp, SEEDS, vectorise=vectorise).double()
    population(batch((4, 6))[0])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("vectorise", [True, False])
def test_global_generator_is_left_alone_when_the_network_fails(vectorise: bool) -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ArithmeticError(str(torch.rand_like(x).shape))

    population = replicate(Failing, SEEDS, vectorise=vectorise)
    before = torch.get_rng_state()
    with pytest.raises(ArithmeticError):
        population(torch.ones(3, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_state_is_saved_and_loaded_under_the_plain_names() -> None:
    population = replicate(Counting, SEEDS)
    population(torch.ones(3, 4, 6))
    state = population.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        "network.linear.weight": (3, K, 6),
        "network.linear.bias": (3, K),
        "network.mean": (3, 6),
        "network.steps": (3,),
    }
    other = replicate(Counting, SEEDS)
    other.load_state_dict(state)
    x = torch.ones(3, 4, 6)
    assert torch.equal(other.eval()(x), population.eval()(x))


def test_tied_weights_stay_tied() -> None:
    population = replicate(Tied, SEEDS)
    assert population.network.first.weight is population.network.second.weight
    assert len(list(population.parameters())) == 3


def test_frozen_parameters_stay_frozen() -> None:
    def factory() -> nn.Module:
        network = mlp()
        network[0].requires_grad_(False)
        return network

    population = replicate(factory, SEEDS).double()
    population(batch((4, 6))[0]).sum().backward()
    assert population.network[0].weight.grad is None
    assert population.network[3].weight.grad is not None


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_parametrised_weights_train_like_separate_networks() -> None:
    check_training(lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(6, K))), (4, 6))


def test_network_without_parameters_is_a_population_too() -> None:
    population = replicate(lambda: nn.ReLU(), SEEDS)
    x = torch.linspace(-1, 1, 6).view(3, 2)
    assert torch.equal(population(x), x.relu())
    assert list(population.parameters()) == []


def test_several_inputs_and_outputs_and_plain_arguments() -> None:
    class Mixer(nn.Module):
        def forward(self, a: Tensor, b: Tensor, scale: float) -> tuple[Tensor, dict[str, Tensor]]:
            return a + b, {"scaled": scale * a}

    a, b = torch.ones(3, 2), torch.arange(6.0).view(3, 2)
    for vectorise in (True, False):
        total, others = replicate(Mixer, SEEDS, vectorise=vectorise)(a, b, 4.0)
        assert torch.equal(total, a + b)
        assert torch.equal(others["scaled"], 4 * a)


def test_replica_gives_the_plain_network_back() -> None:
    population = replicate(mlp, SEEDS).double()
    x, _ = batch((4, 6))
    population(x)
    plain = population.replica(1).eval()
    torch.testing.assert_close(plain(x[1]), population.eval()(x)[1], rtol=0, atol=1e-12)
    with torch.no_grad():
        plain[0].weight.zero_()
    assert population.network[0].weight[1].any()


def test_population_moves_and_copies_like_any_module() -> None:
    population = replicate(mlp, SEEDS)
    assert population.num_replicas == 3
    population.vectorise = True
    moved = copy.deepcopy(population).double().to("meta")
    assert {tensor.device.type for tensor in moved.state_dict().values()} == {"meta"}
    assert moved(torch.empty(3, 4, 6, dtype=torch.float64, device="meta")).shape == (3, 4, K)
    assert not population.eval().network[1].training


@pytest.mark.parametrize("vectorise", [True, False])
@pytest.mark.parametrize("shape", [(2, 4, 6), (4, 4, 6), ()])
def test_input_without_the_replica_axis_is_refused(shape: tuple[int, ...], vectorise: bool) -> None:
    with pytest.raises(UserError, match=r"allowed: \(3, batch, \.\.\.\)"):
        replicate(mlp, SEEDS, vectorise=vectorise)(torch.ones(shape))


def growing() -> Callable[[], nn.Module]:
    widths = iter(range(1, 99))
    return lambda: nn.Linear(6, next(widths))


def alternating(*modules: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    turns = iter([*modules] * 9)
    return lambda: next(turns)()


def counter() -> Callable[[], nn.Module]:
    values = iter(range(99))
    return lambda: nn.PReLU(init=next(values))


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    return network


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "same network": ((lambda network: lambda: network)(nn.Linear(2, 2)), "the same network twice"),
    "other sizes": (growing(), "differ in architecture"),
    "other settings": (alternating(lambda: nn.Dropout(0.1), lambda: nn.Dropout(0.2)), "differ in architecture"),
    "other ties": (
        alternating(tied, lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))),
        "differ in architecture",
    ),
    "other randomness": (counter(), "global generator alone"),
    "lazy": (lambda: nn.LazyLinear(3), "lazy"),
    "elsewhere": (lambda: nn.Linear(2, 2, device="meta"), "not on the CPU"),
    "no network": (lambda: torch.relu, "must build an nn.Module"),
}


@pytest.mark.parametrize(("factory", "message"), REFUSED.values(), ids=list(REFUSED))
def test_factory_that_cannot_make_a_population_is_refused(factory: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        replicate(factory, SEEDS)
    assert "\n" not in str(raised.value)


def test_population_without_seeds_is_refused() -> None:
    with pytest.raises(UserError, match="at least one seed"):
        replicate(mlp, [])
