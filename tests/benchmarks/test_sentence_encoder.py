"""The sentences, their numbers, and the scores of the sentence encoder's benchmark."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.minilm import PACKAGE, build_encoder, find_files
from benchmarks.sentence_encoder import closeness, cosine_bar, neighbour_bar
from benchmarks.sentences import draw, numbered


def _vocabulary(folder: Path) -> Path:
    path = folder / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nmatrix\nin\n##vert\n##s\n.")
    return path


@pytest.mark.slow
def test_lists_of_sentences_share_none_and_are_the_same_for_the_same_seed() -> None:
    first, second = draw(seed=3, counts=(50, 70))

    assert (len(first), len(second), len({*first, *second})) == (50, 70, 120)
    assert draw(seed=3, counts=(50, 70)) == [first, second]


def test_a_word_is_cut_into_its_longest_pieces_and_an_unknown_one_is_marked(tmp_path: Path) -> None:
    rows = numbered(["Inverts a matrix.", "zebra"], _vocabulary(tmp_path))

    assert rows["input_ids"][0, :9].tolist() == [2, 6, 7, 8, 4, 5, 9, 3, 0]
    assert rows["input_ids"][1, :4].tolist() == [2, 1, 3, 0]
    assert rows["attention_mask"].sum(axis=1).tolist() == [8, 3]


def test_a_sentence_that_is_too_long_is_cut_and_still_ends(tmp_path: Path) -> None:
    rows = numbered(["a " * 100], _vocabulary(tmp_path))

    assert rows["input_ids"].shape == (1, 64)
    assert rows["input_ids"][0, -1] == 3


def test_equal_embeddings_are_as_close_as_can_be() -> None:
    values = np.random.default_rng(2).normal(size=(30, 8)).astype(np.float32)

    found = closeness(values * 3, values)

    assert found.cosine == pytest.approx(1.0, abs=1e-6)
    assert (found.neighbours, found.n) == (1.0, 30)


def test_random_embeddings_miss_the_bars() -> None:
    ours, theirs = np.random.default_rng(2).normal(size=(2, 200, 8)).astype(np.float32)

    found = closeness(ours, theirs)

    assert cosine_bar("cosine", found, low=0.998).verdict == "missed"
    assert neighbour_bar("neighbours", found, low=0.94).verdict == "missed"
    assert cosine_bar("cosine", found).verdict == "reported"


@pytest.mark.parametrize(("share", "verdict"), [(0.84, "missed"), (0.87, "held"), (0.9, "missed")])
def test_the_peer_s_score_says_whether_the_sentences_are_as_hard_as_they_should_be(share: float, verdict: str) -> None:
    exact = np.eye(100, dtype=np.float32) + np.roll(np.eye(100, dtype=np.float32), 1, axis=1) * 0.5
    found = closeness(exact, exact)

    bar = neighbour_bar("peer", dataclasses.replace(found, neighbours=share), low=0.85, high=0.89)

    assert bar.verdict == verdict


def test_weights_in_the_data_folder_are_found(tmp_path: Path) -> None:
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"")

    assert find_files(tmp_path) == folder


@pytest.mark.slow
def test_the_encoder_takes_published_names_and_padding_changes_nothing() -> None:
    import torch

    encoder = build_encoder(_weights())
    ids = torch.tensor([[5, 7, 9, 0, 0, 0]])
    other = torch.tensor([[5, 7, 9, 3, 8, 2]])
    mask = torch.tensor([[1, 1, 1, 0, 0, 0]])

    with torch.no_grad():
        first, second = encoder(ids, mask), encoder(other, mask)

    assert first.shape == (1, 24)
    torch.testing.assert_close(first, second)


def _weights() -> dict[str, Any]:
    """Return seeded weights of one layer, 24 wide, by the names of the published file."""
    import torch

    torch.manual_seed(5)
    sizes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings": (12, 24),
        "embeddings.position_embeddings": (512, 24),
        "embeddings.token_type_embeddings": (2, 24),
        "encoder.layer.0.attention.self.query": (24, 24),
        "encoder.layer.0.attention.self.key": (24, 24),
        "encoder.layer.0.attention.self.value": (24, 24),
        "encoder.layer.0.attention.output.dense": (24, 24),
        "encoder.layer.0.intermediate.dense": (48, 24),
        "encoder.layer.0.output.dense": (24, 48),
        "embeddings.LayerNorm": (24,),
        "encoder.layer.0.attention.output.LayerNorm": (24,),
        "encoder.layer.0.output.LayerNorm": (24,),
    }
    weights: dict[str, Any] = {f"{name}.weight": torch.randn(size) * 0.3 for name, size in sizes.items()}
    biases = {name: size[0] for name, size in sizes.items() if not name.endswith("_embeddings")}
    return (
        weights | {f"{name}.bias": torch.randn(size) * 0.3 for name, size in biases.items()} | {"pooler.dense.bias": 0}
    )
