import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vgtemplate.data.augment import CropFlip
from vgtemplate.data.batches import BatchOrder, EvaluationBatches, TrainBatches
from vgtemplate.data.split import Tensors

seed_lists = st.lists(st.integers(0, 2**32), min_size=1, max_size=4)
sizes = st.integers(1, 40)


@given(seed_lists, sizes, sizes)
def test_an_epoch_shows_each_image_at_most_once_and_leaves_out_less_than_a_batch(seeds, num_images, batch_size):
    order = BatchOrder(seeds, num_images, batch_size)
    epoch = torch.cat([order.indices(step) for step in range(order.steps_per_epoch)], dim=1)
    assert epoch.dtype == torch.int64
    assert 0 <= num_images - epoch.shape[1] < order.batch_size
    for replica in epoch.tolist():
        assert len(set(replica)) == len(replica)
        assert set(replica) <= set(range(num_images))


@given(sizes, sizes)
def test_batch_has_the_size_asked_for_or_the_whole_set(num_images, batch_size):
    order = BatchOrder([1, 2], num_images, batch_size)
    assert order.indices(0).shape == (2, min(batch_size, num_images))
    assert order.steps_per_epoch == num_images // min(batch_size, num_images)


@given(seed_lists, seed_lists, st.integers(0, 2**32), st.integers(0, 200))
def test_order_of_a_replica_does_not_depend_on_its_neighbours(before, after, seed, step):
    alone = BatchOrder([seed], 23, 5).indices(step)[0]
    among = BatchOrder([*before, seed, *after], 23, 5).indices(step)[len(before)]
    assert torch.equal(alone, among)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_indices_are_a_function_of_the_step_alone(steps):
    order = BatchOrder([4, 9], 23, 5)
    for step in steps:
        assert torch.equal(order.indices(step), BatchOrder([4, 9], 23, 5).indices(step))


def test_seeds_and_epochs_differ_in_their_orders():
    order = BatchOrder([0, 1], 500, 500)
    first, second = order.indices(0), order.indices(1)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], second[0])


def test_order_of_an_epoch_is_frozen():
    """The numbers are part of every result: if this fails, every record made before is another experiment."""
    order = BatchOrder([7], 8, 8)
    assert order.indices(0).tolist() == [[6, 0, 2, 3, 7, 5, 1, 4]]
    assert order.indices(3).tolist() == [[2, 7, 4, 6, 0, 3, 1, 5]]


@pytest.fixture
def images():
    return torch.arange(23 * 6, dtype=torch.float32).view(23, 1, 2, 3)


LABELS = torch.arange(23)


@given(st.sampled_from([1, 2, 3, 4, 6, 12]), st.integers(0, 10))
def test_slices_of_the_processes_partition_each_replicas_batch(world_size, step):
    pixels = torch.arange(23 * 6, dtype=torch.float32).view(23, 1, 2, 3)

    def batch(rank, world_size):
        return TrainBatches(Tensors((pixels, LABELS)), BatchOrder([2, 5], 23, 12), rank, world_size).batch(step)

    whole = batch(0, 1)
    parts = [batch(rank, world_size) for rank in range(world_size)]
    assert all(labels.shape == (2, 12 // world_size) for _, labels in parts)
    assert torch.equal(torch.cat([part[0] for part in parts], dim=1), whole[0])
    assert torch.equal(torch.cat([part[1] for part in parts], dim=1), whole[1])


def test_batch_that_cannot_be_shared_equally_is_refused(images):
    with pytest.raises(ValueError, match="5 processes cannot share a batch of 12"):
        TrainBatches(Tensors((images, LABELS)), BatchOrder([2], 23, 12), 0, 5)


def test_batches_hold_the_images_of_the_order(images):
    order = BatchOrder([2, 5, 5], 23, 4)
    for step, (pixels, labels) in enumerate(TrainBatches(Tensors((images, LABELS)), order)):
        assert pixels.shape == (3, 4, 1, 2, 3)
        assert torch.equal(labels, order.indices(step))
        assert torch.equal(pixels, images[order.indices(step)])
        assert torch.equal(pixels[1], pixels[2])


def test_loader_continues_over_epochs_and_from_a_saved_position(images):
    def loader():
        return TrainBatches(Tensors((images, LABELS)), BatchOrder([2, 5], 23, 4))

    whole = loader()
    assert len(whole) == 5
    expected = [labels for _ in range(3) for _, labels in whole]
    stopped = loader()
    taken = [labels for _, (_, labels) in zip(range(3), stopped, strict=False)]
    resumed = loader()
    resumed.load_state_dict(stopped.state_dict())
    assert resumed.position == 3
    taken += [labels for _ in range(2) for _, labels in resumed]
    assert len(taken) == 13
    assert all(torch.equal(one, other) for one, other in zip(taken, expected, strict=False))


def test_position_is_the_trainers_count_where_there_is_one(images):
    count = 7
    loader = TrainBatches(Tensors((images, LABELS)), BatchOrder([2], 23, 4), processed=lambda: count)
    assert loader.state_dict() == {"position": 7}
    assert torch.equal(next(iter(loader))[1], BatchOrder([2], 23, 4).indices(7))


@given(st.integers(0, 30), st.integers(2, 9), st.integers(1, 5))
def test_evaluation_shows_every_image_once_and_processes_agree_on_the_number_of_batches(count, batch_size, world_size):
    labels = torch.arange(count)
    pixels = labels.float().view(count, 1, 1, 1)
    loaders = [
        EvaluationBatches(Tensors((pixels, labels)), 3, batch_size, rank, world_size) for rank in range(world_size)
    ]
    batches = [list(loader) for loader in loaders]
    assert {len(loader) for loader in loaders} == {len(found) for found in batches}
    assert len({len(found) for found in batches}) == 1
    assert all(0 < found.shape[1] <= batch_size + (world_size > 1) for part in batches for _, found in part)
    seen = [label for part in batches for _, found in part for label in found[0].tolist()]
    if count >= world_size:
        assert seen == list(range(count))
    else:
        assert seen == list(range(count)) * world_size


def test_evaluation_expands_without_a_copy(images):
    pixels, labels = next(iter(EvaluationBatches(Tensors((images, LABELS)), 4, 10)))
    assert pixels.shape[0] == labels.shape[0] == 4
    assert pixels.stride(0) == labels.stride(0) == 0
    assert pixels.data_ptr() == images.data_ptr()


def test_augmented_batches_are_those_of_the_order_cropped_and_flipped_on_every_process(images):
    pixels, labels = images, torch.arange(23)
    order, seeds = BatchOrder([1, 2], len(labels), 4), [1, 2]
    plain = TrainBatches(Tensors((pixels, labels)), order)
    whole = TrainBatches(Tensors((pixels, labels)), order, augment=CropFlip(seeds, len(labels)))
    shares = [
        TrainBatches(Tensors((pixels, labels)), order, rank, 2, augment=CropFlip(seeds, len(labels))) for rank in (0, 1)
    ]
    for step in (0, 1, len(plain), 3 * len(plain) + 1):
        augmented, same_labels = whole.batch(step)
        epoch, index = divmod(step, len(plain))
        expected = CropFlip(seeds, len(labels))(plain.batch(step)[0], epoch, slice(4 * index, 4 * index + 4))
        assert torch.equal(augmented, expected)
        assert torch.equal(same_labels, plain.batch(step)[1])
        assert torch.equal(torch.cat([share.batch(step)[0] for share in shares], dim=1), augmented)
