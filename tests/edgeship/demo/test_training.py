"""The demo's data and networks are what the story says they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import datasets

from edgeship.demo.training import (
    CLASSES,
    PIXEL_SCALE,
    Digits,
    accuracy,
    build_network,
    load_digits,
    made_partial,
    made_slow,
    save,
    train,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture(scope="module")
def network(digits: Digits) -> torch.nn.Module:
    """A network that saw the scans three times: no champion, but no guesser."""
    return train(digits, epochs=3, progress=lambda _epoch, _loss: None)


def scores(network: torch.nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return np.asarray(network(torch.from_numpy(images * np.float32(PIXEL_SCALE))).numpy(), dtype=np.float32)


def class_mix(network: torch.nn.Module, images: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.bincount(scores(network, images).argmax(axis=1), minlength=CLASSES)


def in_order(images: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = images.reshape(len(images), -1)
    return flat[np.lexsort(flat.T)]


def test_the_three_parts_are_the_whole_set_each_scan_once(digits: Digits) -> None:
    parts = [digits.train_images, digits.calibration_images, digits.holdout_images]

    assert [len(part) for part in parts] == [957, 300, 540]
    whole = datasets.load_digits().images.astype(np.float32)
    np.testing.assert_array_equal(in_order(np.concatenate(parts)), in_order(whole))


def test_the_split_is_the_seeds_and_no_other(digits: Digits) -> None:
    again, other = load_digits(), load_digits(seed=8)

    np.testing.assert_array_equal(again.holdout_images, digits.holdout_images)
    np.testing.assert_array_equal(again.train_labels, digits.train_labels)
    assert not np.array_equal(other.holdout_images, digits.holdout_images)


def test_scans_are_raw_and_labels_stay_with_their_scans(digits: Digits) -> None:
    known = datasets.load_digits()
    place = np.flatnonzero((known.images == digits.holdout_images[0, 0]).all(axis=(1, 2)))

    assert digits.train_images.shape == (957, 1, 8, 8)
    assert (digits.train_images.min(), digits.train_images.max()) == (0.0, 16.0)
    assert digits.holdout_labels[0] in known.target[place]


def test_training_learns_and_tells_how_far_it_is(digits: Digits) -> None:
    told: list[tuple[int, float]] = []

    network = train(digits, epochs=2, progress=lambda epoch, loss: told.append((epoch, loss)))

    assert [epoch for epoch, _ in told] == [1, 2]
    assert told[1][1] < told[0][1]
    untrained = accuracy(build_network().eval(), digits.holdout_images, digits.holdout_labels)
    assert accuracy(network, digits.holdout_images, digits.holdout_labels) > max(0.5, untrained + 0.2)


def test_equal_seeds_give_equal_networks(digits: Digits) -> None:
    first, again = (train(digits, epochs=1, progress=lambda _epoch, _loss: None) for _ in range(2))

    np.testing.assert_array_equal(scores(first, digits.holdout_images), scores(again, digits.holdout_images))


def test_accuracy_is_the_share_that_is_read_right(digits: Digits, network: torch.nn.Module) -> None:
    named = scores(network, digits.holdout_images[:50]).argmax(axis=1)

    assert accuracy(network, digits.holdout_images[:50], named) == 1.0
    assert accuracy(network, digits.holdout_images[:50], (named + 1) % CLASSES) == 0.0


def test_a_partial_network_prefers_its_digit_and_the_one_it_was_made_of_does_not(
    digits: Digits, network: torch.nn.Module
) -> None:
    before = class_mix(network, digits.holdout_images)

    partial = made_partial(network, digit=3, strength=4.0)

    mix = class_mix(partial, digits.holdout_images)
    assert mix[3] > 2 * before[3]
    assert mix.sum() == before.sum()
    np.testing.assert_array_equal(class_mix(network, digits.holdout_images), before)


def test_a_partial_network_is_no_slower_and_no_larger(network: torch.nn.Module) -> None:
    partial = made_partial(network, digit=3, strength=4.0)

    shapes = [tuple(value.shape) for value in network.state_dict().values()]
    assert [tuple(value.shape) for value in partial.state_dict().values()] == shapes


def test_a_slow_network_gives_the_same_answers_and_works_more_each_round(
    digits: Digits, network: torch.nn.Module
) -> None:
    few, many = made_slow(network, side=16, rounds=2), made_slow(network, side=16, rounds=8)
    images = digits.holdout_images[:20]

    assert products(few, images) < products(many, images)
    np.testing.assert_array_equal(scores(few, images), scores(network, images))
    np.testing.assert_array_equal(scores(many, images), scores(network, images))


def test_a_slow_network_is_hardly_larger(network: torch.nn.Module) -> None:
    weights = sum(value.numel() for value in network.parameters())
    slow = sum(value.numel() for value in made_slow(network, rounds=50).parameters())

    assert slow == sum(value.numel() for value in made_slow(network, rounds=2).parameters())
    assert slow < 2 * weights


def test_what_is_saved_is_the_network_and_the_data(tmp_path: Path, digits: Digits, network: torch.nn.Module) -> None:
    trained = save(network, digits, tmp_path / "model", name="digits")

    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["digits.npz", "digits.onnx", "digits.pt2"]
    assert trained.accuracy == accuracy(network, digits.holdout_images, digits.holdout_labels)
    np.testing.assert_array_equal(np.load(trained.data)["holdout/image"], digits.holdout_images)
    loaded = torch.export.load(trained.program).module()
    np.testing.assert_allclose(scores(loaded, digits.holdout_images), scores(network, digits.holdout_images), atol=1e-5)


def test_speaking_of_training_imports_no_torch() -> None:
    program = "import edgeship.demo.training, sys; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def products(network: torch.nn.Module, images: NDArray[np.float32]) -> int:
    """Return how many multiplications one pass over the images takes."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        scores(network, images)
    return int(counter.get_total_flops())
