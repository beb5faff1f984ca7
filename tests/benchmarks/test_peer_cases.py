"""The fixed list, its rows, and the networks that are made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.networks import CLASSES, NETWORKS, Network, build, rows_of
from benchmarks.optimizer_vs_peers import asked_for
from benchmarks.peers.cases import FIXED, NotHere, Places, Split, digest_of_case, joined, made_here, parted
from benchmarks.peers.recipes import RECIPES

NAMES = [network.name for network in NETWORKS]
SMALL = next(network for network in NETWORKS if network.name == "mlp")


def test_the_fixed_list_names_every_model_once() -> None:
    names = [entry.name for entry in FIXED]

    assert len(names) == len(set(names))
    assert set(NAMES) <= set(names)
    assert {"resnet20", "resnet32", "cmapss-cnn", "adult-mlp", "version-RFB-320", "kws-float", "minilm"} <= set(names)


def test_every_peer_of_the_issue_has_a_recipe() -> None:
    environments = {recipe.environment for recipe in RECIPES}

    assert environments == {"ort", "nncf", "onc", "onnxsim", "olive"}


def test_a_model_that_is_not_on_this_machine_says_what_is_missing(tmp_path: Path) -> None:
    places = Places(data=tmp_path, cache=tmp_path, seed=7)
    entry = next(entry for entry in FIXED if entry.name == "resnet20")

    with pytest.raises(NotHere, match="cifar10_jpeg_2000"):
        entry.load(places)


def test_splits_are_seeded_and_share_no_row() -> None:
    rows = {"x": np.arange(100).reshape(100, 1)}
    label = np.arange(100)

    splits = parted(rows, label, (20, 30, -1), 7)
    again = parted(rows, label, (20, 30, -1), 7)

    assert [split.count for split in splits] == [20, 30, 50]
    assert sorted(np.concatenate([split.rows["x"][:, 0] for split in splits]).tolist()) == list(range(100))
    assert np.array_equal(splits[0].rows["x"], again[0].rows["x"])
    assert splits[1].label is not None
    assert np.array_equal(splits[1].rows["x"][:, 0], splits[1].label)


def test_joined_rows_keep_their_labels() -> None:
    first = Split(rows={"x": np.zeros((2, 1))}, label=np.array([1, 2]))
    second = Split(rows={"x": np.ones((1, 1))}, label=np.array([3]))

    both = joined(first, second)

    assert both.rows["x"][:, 0].tolist() == [0, 0, 1]
    assert both.label is not None
    assert both.label.tolist() == [1, 2, 3]


def test_made_up_rows_are_the_same_for_the_same_seed() -> None:
    rows, labels = rows_of(SMALL, 50, seed=3)
    again, _ = rows_of(SMALL, 50, seed=3)
    other, _ = rows_of(SMALL, 50, seed=4)

    assert rows.shape == (50, 64)
    assert np.array_equal(rows, again)
    assert not np.array_equal(rows, other)
    assert set(labels.tolist()) <= set(range(CLASSES))


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS[1:], ids=NAMES[1:])
def test_a_network_has_its_parameters_and_tells_its_classes_apart(network: Network) -> None:
    import torch

    module = build(network, seed=7)
    rows, labels = rows_of(network, 100, seed=99)
    with torch.no_grad():
        answers = module(torch.from_numpy(rows)).numpy().argmax(axis=1)

    assert sum(one.numel() for one in module.parameters()) == pytest.approx(network.parameters, rel=0.08)
    assert (answers == labels).mean() > 0.7


@pytest.mark.slow
def test_a_made_network_is_kept_and_its_case_has_a_digest_of_its_own(tmp_path: Path) -> None:
    places = Places(data=None, cache=tmp_path, seed=7)

    case = made_here(places, network=SMALL)
    written = case.model.stat().st_mtime_ns
    again = made_here(places, network=SMALL)
    other = made_here(Places(data=None, cache=tmp_path, seed=8), network=SMALL)

    assert again.model.stat().st_mtime_ns == written
    assert digest_of_case(case) == digest_of_case(again) != digest_of_case(other)


def test_an_unknown_model_is_refused_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        asked_for(["--models", "resnet21"])

    assert "no model resnet21: the fixed list has resnet20" in capsys.readouterr().err
