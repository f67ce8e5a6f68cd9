"""Networks of every kind that people train, each with a batch and an optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

B, IN, HIDDEN, CLASSES, LENGTH = 6, 8, 7, 3, 5


def vectors() -> Tensor:
    return torch.randn(B, IN)


def images() -> Tensor:
    return torch.randn(B, 3, 16, 16)


def tokens() -> Tensor:
    return torch.randint(20, (B, LENGTH))


def sequences() -> Tensor:
    return torch.randn(B, LENGTH, IN)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, foreach=True)


@dataclass(frozen=True)
class Network:
    """How a kind of network is built and trained."""

    build: Callable[[], nn.Module]
    batch: Callable[[], Tensor] = vectors
    optimiser: Callable[[nn.Module], torch.optim.Optimizer] = sgd
    unseen: str = ""
    """A note that must be said."""


def mlp(activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(IN, HIDDEN), activation(), nn.Linear(HIDDEN, HIDDEN), activation(), nn.Linear(HIDDEN, CLASSES)
    )


class Head(nn.Module):
    """A head that is defined before its body, functional activations, one of them shared and in place."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(HIDDEN, CLASSES)
        self.first, self.second = nn.Linear(IN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.second(self.act(self.first(x)))))


class Bare(nn.Module):
    """Parameters without a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(IN, HIDDEN) / 3)
        self.b1 = nn.Parameter(torch.zeros(HIDDEN))
        self.rest = nn.ParameterList([nn.Parameter(torch.randn(HIDDEN, CLASSES) / 3)])
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * torch.einsum("bi,ij->bj", F.gelu(x @ self.w1 + self.b1), self.rest[0])


class Pooled(nn.Module):
    """A body whose output, (B, T, C), is averaged over time."""

    def __init__(self, body: nn.Module, size: int, picks: bool = False) -> None:
        super().__init__()
        self.body, self.head, self.picks = body, nn.Linear(size, CLASSES), picks

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        return self.head((out[0] if self.picks else out).mean(dim=1))


class Packed(nn.Module):
    """A bidirectional LSTM over sequences of several lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(IN, HIDDEN, num_layers=2, batch_first=True, bidirectional=True, dropout=0.3)
        self.head = nn.Linear(2 * HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, [5, 4, 4, 3, 2, 1], batch_first=True)
        _, (h, _) = self.rnn(packed)
        return self.head(torch.cat([h[-2], h[-1]], dim=1))


class Loop(nn.Module):
    """A recurrent cell called once per step, with a state that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(IN, HIDDEN), nn.Linear(HIDDEN, CLASSES)
        self.start = nn.Parameter(torch.zeros(HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        h = self.start.expand(len(x), -1)
        for step in range(x.shape[1]):
            h = self.cell(x[:, step], h)
        return self.head(h)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(IN, 2, batch_first=True, add_bias_kv=True)
        self.head = nn.Linear(IN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x)[0].mean(dim=1))


class Tied(nn.Module):
    """An embedding whose weight is the output layer's too."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, IN, sparse=sparse)
        self.mix = nn.Linear(IN, IN)
        self.out = nn.Linear(IN, 20, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.mix(self.embedding(x))).mean(dim=1))[:, :CLASSES]


class SparseBag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(20, IN, sparse=True), nn.Linear(IN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.bag(x)))


class Lora(nn.Module):
    """A frozen layer with a low-rank step beside it, which begins at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(IN, HIDDEN).requires_grad_(False)
        self.a, self.b = nn.Linear(IN, 2, bias=False), nn.Linear(2, HIDDEN, bias=False)
        nn.init.zeros_(self.b.weight)
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.base(x) + self.b(self.a(x))))


class MergedLora(Lora):
    """The same with the low-rank product added to the weight."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.base.weight + self.b.weight @ self.a.weight
        return self.head(F.relu(F.linear(x, weight, self.base.bias)))


class Mixture(nn.Module):
    """Experts of which the last is never chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(IN, 2)
        self.experts = nn.ModuleList(nn.Linear(IN, CLASSES) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        shares = self.gate(x).softmax(dim=1)
        return sum(shares[:, [index]] * F.silu(self.experts[index](x)) for index in range(2))  # type: ignore[return-value]


def parametrised() -> nn.Module:
    return nn.Sequential(
        parametrizations.weight_norm(nn.Linear(IN, HIDDEN)),
        nn.Tanh(),
        parametrizations.spectral_norm(nn.Linear(HIDDEN, HIDDEN)),
        nn.Tanh(),
        parametrizations.orthogonal(nn.Linear(HIDDEN, HIDDEN, bias=False)),
        nn.Linear(HIDDEN, CLASSES),
    )


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).transpose(-1, -2)


def symmetric() -> nn.Module:
    layer = nn.Linear(IN, IN)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(IN, CLASSES))


def old_weight_norm() -> nn.Module:
    return nn.Sequential(nn.utils.weight_norm(nn.Linear(IN, HIDDEN)), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(IN, HIDDEN, dtype=torch.complex64)
        self.filter = nn.Parameter(torch.randn(HIDDEN, dtype=torch.complex64))
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.fft.ifft(torch.fft.fft(self.first(x.to(torch.complex64))) * self.filter).abs())


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first = nn.Linear(IN, HIDDEN)
        self.block = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(0.5), nn.Linear(HIDDEN, HIDDEN))
        self.head, self.reentrant = nn.Linear(HIDDEN, CLASSES), reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.block, torch.relu(self.first(x)), use_reentrant=self.reentrant))


def frozen_backbone() -> nn.Module:
    model = mlp()
    model[0].requires_grad_(False)
    return model


def all_frozen_but_a_bias() -> nn.Module:
    model = mlp().requires_grad_(False)
    model[4].bias.requires_grad_(True)
    return model


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.idle, self.head = nn.Linear(IN, HIDDEN), nn.Linear(IN, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.first(x)) + F.relu(self.idle(x)).detach())


class Block(nn.Module):
    """A residual block as torchvision has them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return self.head(F.relu(self.bn2(self.conv2(out)) + x).mean(dim=(2, 3)))


def all_layers() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.Hardswish(),
        nn.ConvTranspose2d(4, 4, 2, stride=2),
        nn.InstanceNorm2d(4, affine=True),
        nn.PReLU(4),
        nn.Flatten(2),
        nn.Conv1d(4, 5, 3),
        nn.RReLU(),
        nn.Unflatten(2, (2, 7, 73)),
        nn.Conv3d(5, 4, 2),
        nn.Mish(inplace=True),
        nn.Flatten(),
        nn.LazyLinear(HIDDEN),
        nn.RMSNorm(HIDDEN),
        nn.CELU(),
        nn.Linear(HIDDEN, CLASSES),
    )


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair, self.head = nn.Bilinear(IN, IN, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.softplus(self.pair(x, x)))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, IN)
        self.position = nn.Parameter(torch.zeros(LENGTH, IN))
        layer = nn.TransformerEncoderLayer(IN, 2, 16, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(IN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(x) + self.position).mean(dim=1))


class TheirVmap(nn.Module):
    """A network that uses torch.func itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(IN, HIDDEN), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.vmap(lambda row: torch.tanh(self.first(row)))(x))


def resnet18() -> nn.Module:
    from torchvision.models import resnet18

    return resnet18(num_classes=CLASSES)


def timm_vit() -> nn.Module:
    import timm

    return timm.create_model("vit_tiny_patch16_224", img_size=16, patch_size=4, depth=2, num_classes=CLASSES)


class Logits(nn.Module):
    """A network of transformers', of which the loss wants the logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x).logits


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return Logits(BertForSequenceClassification(BertConfig(vocab_size=20, num_labels=CLASSES, **sizes)))


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    config = GPT2Config(vocab_size=20, n_embd=16, n_layer=2, n_head=2, n_positions=8, num_labels=CLASSES)
    config.pad_token_id = 0
    return Logits(GPT2ForSequenceClassification(config))


NETWORKS: dict[str, Network] = {
    "one layer": Network(lambda: nn.Linear(IN, CLASSES)),
    "head defined first": Network(Head),
    "mish": Network(lambda: mlp(nn.Mish)),
    "bare parameters": Network(Bare),
    "all layers": Network(all_layers, images, unseen="lazy"),
    "bilinear": Network(Two),
    "lstm": Network(
        lambda: Pooled(nn.LSTM(IN, HIDDEN, 2, batch_first=True), HIDDEN, picks=True),
        sequences,
        unseen="a function does several weights' work",
    ),
    "rnn": Network(lambda: Pooled(nn.RNN(IN, HIDDEN, batch_first=True), HIDDEN, picks=True), sequences),
    "packed bidirectional lstm": Network(Packed, sequences, unseen="packed sequences"),
    "cell in a loop": Network(Loop, sequences),
    "attention": Network(Attention, sequences),
    "transformer": Network(Transformer, tokens, lambda model: torch.optim.AdamW(model.parameters(), 1e-2)),
    "tied": Network(Tied, tokens),
    "sparse": Network(SparseBag, tokens, lambda model: torch.optim.SGD(model.parameters(), 0.1)),
    "lora": Network(Lora, unseen="frozen"),
    "merged lora": Network(MergedLora, unseen="frozen"),
    "mixture": Network(Mixture, unseen="no layer's function used it"),
    "parametrised": Network(parametrised),
    "symmetric": Network(symmetric),
    "old weight norm": Network(old_weight_norm),
    "complex": Network(Complex, optimiser=lambda model: torch.optim.Adam(model.parameters(), 1e-2)),
    "checkpointed": Network(lambda: Checkpointed(False)),
    "checkpointed, reentrant": Network(lambda: Checkpointed(True)),
    "frozen backbone": Network(frozen_backbone, unseen="frozen"),
    "all frozen but a bias": Network(all_frozen_but_a_bias, unseen="frozen"),
    "detached": Network(Detached, unseen="no gradient has come back to it: idle"),
    "residual block": Network(Block, images),
    "torch.func": Network(TheirVmap),
    "scripted": Network(lambda: torch.jit.script(mlp()), unseen="scripted"),
    "compiled": Network(lambda: torch.compile(mlp(), backend="aot_eager"), unseen="compiled"),
    "compiled block": Network(
        lambda: nn.Sequential(torch.compile(mlp(), backend="aot_eager"), nn.Linear(CLASSES, CLASSES)), unseen="compiled"
    ),
    "resnet18": Network(resnet18, images),
    "vit of timm": Network(timm_vit, images),
    "bert": Network(bert, tokens),
    "gpt2": Network(gpt2, tokens),
}


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def make(name: str, steps: int = 3) -> tuple[nn.Module, torch.optim.Optimizer, list[tuple[Tensor, Tensor]], Any]:
    """Return a network with its optimiser and batches, always the same."""
    kind = NETWORKS[name]
    torch.manual_seed(0)
    model = kind.build()
    batches = [(kind.batch(), torch.randint(CLASSES, (B,))) for _ in range(steps)]
    with torch.no_grad():
        if any(nn.parameter.is_lazy(each) for each in model.parameters()):
            optimiser = torch.optim.SGD(model.parameters(), 0.1)
            return model, optimiser, batches, kind
    return model, kind.optimiser(model), batches, kind
