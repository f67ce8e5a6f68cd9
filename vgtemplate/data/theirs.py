"""A LightningDataModule of one's own: its loaders, iterated once per replica, each under generators of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from vgtemplate.config.errors import UserError
from vgtemplate.config.own import their_errors
from vgtemplate.config.schema import DataConfig
from vgtemplate.config.seeding import Stream, derive
from vgtemplate.config.strict import MOST
from vgtemplate.data.batches import expanded
from vgtemplate.data.module import PopulationData
from vgtemplate.data.notes import note
from vgtemplate.data.own import call_factory, is_datamodule, own_fingerprint
from vgtemplate.data.prepare import describe_batch
from vgtemplate.data.randomness import borrowed_generators, seed_generators
from vgtemplate.data.split import Content, each_tensor

_LIBRARIES = ("pytorch_lightning.", "lightning.")


def _has(module: object, name: str) -> bool:
    """Say whether a LightningDataModule defines a loader itself."""
    own = [kind for kind in type(module).__mro__ if not kind.__module__.startswith(_LIBRARIES)]
    return any(name in vars(kind) for kind in own)


class _Fetching:
    """Asks a LightningDataModule for loaders and batches, all that it draws being seeded; errors are one line."""

    def __init__(self, module: Any, what: str, device: torch.device, rank: int, world_size: int) -> None:
        self.module, self.what = module, what
        self._device, self._rank, self._world_size = device, rank, world_size

    def loader(self, name: str) -> Any:
        """Return the loader of that name, made anew."""
        with borrowed_generators(), their_errors(f"{self.what}: {name}"):
            seed_generators(derive(0, Stream.DATA))
            found = getattr(self.module, name)()
        if isinstance(found, list | tuple) and len(found) == 1:
            (found,) = found
        if not hasattr(found, "__len__") or isinstance(found, list | tuple | dict):
            raise UserError(f"{self.what}: {name} must give one loader with a length, not a {type(found).__name__}")
        with their_errors(f"{self.what}: {name}"):
            if not len(found):
                raise UserError(f"{self.what}: {name} has no batch; is its batch size larger than its data?")
        return found

    def batches(self, name: str, seed: int, stream: Stream, *counters: int) -> Iterator[Content]:
        """Yield a loader's batches on the device; what a batch draws depends on seed, counters and its number alone."""
        loader = self.loader(name)
        number, iterator = 0, None
        while True:
            with borrowed_generators(), their_errors(f"{self.what}: {name}"):
                drawn = derive(seed, stream, *counters, number)
                seed_generators(drawn)
                if iterator is None:
                    _renew_generators(loader, drawn)
                    iterator = iter(loader)
                try:
                    batch = self._finish(next(iterator))
                except StopIteration:
                    return
            yield batch
            number += 1

    def join(self, batches: Sequence[Content]) -> Content:
        """Return the batches of all replicas as one, (R, B, ...)."""
        with their_errors(f"{self.what}: the batches of the seeds cannot be stacked"):
            return default_collate(list(batches))

    def _finish(self, batch: Content) -> Content:
        batch = self.module.on_before_batch_transfer(batch, 0)
        batch = self.module.transfer_batch_to_device(batch, self._device, 0)
        batch = self.module.on_after_batch_transfer(batch, 0)
        return batch if self._world_size == 1 else each_tensor(self._share, batch)

    def _share(self, tensor: Tensor) -> Tensor:
        return tensor.tensor_split(self._world_size)[self._rank] if tensor.dim() else tensor


def _renew_generators(loader: Any, seed: int) -> None:
    """Seed the generators that a loader and its samplers keep, which would go on where the last epoch left them."""
    sampler = getattr(loader, "sampler", None)
    inner = getattr(getattr(loader, "batch_sampler", None), "sampler", None)
    for owner in (loader, sampler, inner):
        if isinstance(getattr(owner, "generator", None), torch.Generator):
            setattr(owner, "generator", torch.Generator().manual_seed(seed))  # noqa: B010 - any kind of owner


class _TrainBatches:
    """Yields each step's batch, (R, B, ...), or (B, ...) of one network alone; a resumed epoch is replayed.

    Args:
        processed: returns the number of batches already trained on.
    """

    def __init__(self, fetching: _Fetching, seeds: Sequence[int], alone: bool, processed: Callable[[], int]) -> None:
        self._fetching, self._seeds, self._alone, self._processed = fetching, seeds, alone, processed
        self._length = len(fetching.loader("train_dataloader"))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Content]:
        epoch, done = divmod(self._processed(), self._length)
        name, stream = "train_dataloader", Stream.BATCHES
        iterators = [self._fetching.batches(name, seed, stream, epoch) for seed in self._seeds]
        for index, batches in enumerate(zip(*iterators, strict=True)):
            if index >= done:
                yield batches[0] if self._alone else self._fetching.join(batches)


class _EvaluationBatches:
    """Yields a loader's batches, (R, b, ...), the same for all replicas and each time; (b, ...) of one alone."""

    def __init__(self, fetching: _Fetching, name: str, num_replicas: int | None) -> None:
        self._fetching, self._name, self._num_replicas = fetching, name, num_replicas
        self._length = len(fetching.loader(name))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Content]:
        for batch in self._fetching.batches(self._name, 0, Stream.DATA):
            yield batch if self._num_replicas is None else expanded(batch, self._num_replicas)


class TheirData(PopulationData):
    """The data of an arm whose `data.factory` gives a LightningDataModule; its batches get the replica axis."""

    def setup(self, stage: str | None = None) -> None:
        """Set the LightningDataModule up, once.

        Raises:
            UserError: it fails, has no loader of training data, or does not say how many batches there are.
        """
        if self.info:
            return
        assert self.config.own is not None
        self._what = f"data.factory {self.config.own.factory}"
        self._refuse_settings()
        self._module = call_factory(self.config)
        with borrowed_generators(), their_errors(self._what):
            seed_generators(derive(0, Stream.DATA))
            self._module.prepare_data()
            self._module.setup("fit")
            self._module.setup("test")
        if not _has(self._module, "train_dataloader"):
            raise UserError(f"{self._what}: {type(self._module).__name__} has no train_dataloader")
        self._describe()

    def _refuse_settings(self) -> None:
        """Raise UserError at a setting that the LightningDataModule decides itself; of numbers of data, say so."""
        what = f"{self._what.removeprefix('data.factory ')}, a LightningDataModule, splits and batches its data itself"
        usual = DataConfig()
        for name in ("batch_size", "augment", "draw"):
            if (value := getattr(self.config, name)) != (allowed := getattr(usual, name)):
                raise UserError(f"data.{name}: {value} says nothing; {what}; allowed: {allowed}, or nothing")
        # These may stand in a base, for other data.
        for name in ("num_train", "num_validation", "num_test"):
            if (value := getattr(self.config, name)) not in (getattr(usual, name), MOST):
                note(f"data.{name}: {value} is not used; {what}")

    def _describe(self) -> None:
        assert self.config.own is not None
        loader = self._fetching().loader("train_dataloader")
        batch = next(self._fetching().batches("train_dataloader", 0, Stream.DATA))
        self.steps_per_epoch, self.batch_size = len(loader), _batch_size(batch)
        dataset = getattr(loader, "dataset", None)
        classes = getattr(self._module, "classes", getattr(dataset, "classes", ()))
        counts = {name: self._count(f"{loader_name}_dataloader") for name, loader_name in _SPLITS.items()}
        self.info = {
            "name": self.config.own.factory,
            "fingerprint": own_fingerprint(self.config),
            **counts,
            "num_train_asked": counts["num_train"],
            "classes": [str(name) for name in classes],
            "input_shape": [],
            "mean": [],
            "std": [],
            **describe_batch(batch, self.config, dataset, tuple(classes)),
        }
        number = getattr(self._module, "num_classes", None)
        if isinstance(number, int):
            self.info["num_outputs"] = number

    def _count(self, name: str) -> int:
        """Return how many items a loader has, where it says so; else how many batches; 0 without a loader."""
        if not _has(self._module, name):
            return 0
        loader = self._fetching().loader(name)
        counted = getattr(loader, "dataset", loader)
        return len(counted if hasattr(counted, "__len__") else loader)

    def _fetching(self) -> _Fetching:
        if self.trainer is not None:
            self._module.trainer = self.trainer
        return _Fetching(self._module, self._what, self._device, *self._place())

    def train_dataloader(self) -> Iterable[Any]:
        """Return the loader of the training data, continuing where the trainer stands."""
        processed = (lambda: 0) if self.trainer is None else self._num_processed
        return _TrainBatches(self._fetching(), self.seeds, self.alone, processed)

    def _evaluation(self, name: str) -> Iterable[Any]:
        loader = {"train": "train", "validation": "val", "test": "test"}[name]
        return _EvaluationBatches(self._fetching(), f"{loader}_dataloader", None if self.alone else len(self.seeds))

    def _inputs(self, name: str, most: int) -> Tensor | None:
        return None


_SPLITS = {"num_train": "train", "num_validation": "val", "num_test": "test"}


def _batch_size(batch: Content) -> int:
    """Return the length of a batch's first tensor; 1 where there is none."""
    lengths: list[int] = []

    def measure(tensor: Tensor) -> Tensor:
        lengths.append(len(tensor) if tensor.dim() else 1)
        return tensor

    each_tensor(measure, batch)
    return lengths[0] if lengths else 1


def build_data(
    config: DataConfig, seeds: Sequence[int], root: Any, num_probe_images: int = 1000, alone: bool = False
) -> PopulationData:
    """Return the data of an arm, wherever they come from, not yet set up.

    Raises:
        UserError: a factory of one's own cannot be called.
    """
    is_theirs = config.own is not None and is_datamodule(call_factory(config))
    return (TheirData if is_theirs else PopulationData)(config, seeds, root, num_probe_images, alone)
