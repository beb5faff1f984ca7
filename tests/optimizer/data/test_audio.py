"""Folders of WAV files: every kind of sample, one rate, the model's length; and refusals by name."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.tensors import TensorSpec
from optimizer.data.dataset import Dataset
from optimizer.data.source import DataOptions, open_dataset
from optimizer.errors import DatasetError
from tests.optimizer.data.samples import a_tone, an_input, wav_bytes, write_files

EXACT = np.array([-1.0, -0.5, 0.0, 0.25, 0.5])
FILLED = np.concatenate([np.tile(EXACT, 80), np.zeros(40)])


def opened(folder: Path, spec: TensorSpec, *, sample_rate: int = 0, transform: str = "") -> Dataset:
    """Return the data of the folder."""
    return open_dataset(folder, (spec,), options=DataOptions(sample_rate=sample_rate, transform=transform))


def the_row(folder: Path, content: bytes, spec: TensorSpec, *, sample_rate: int = 0) -> NDArray[np.generic]:
    """Return the row of a clip that the folder holds two times."""
    write_files(folder, {"a.wav": content, "b.wav": content})
    row: NDArray[np.generic] = opened(folder, spec, sample_rate=sample_rate).holdout["x"][0]
    return row


@pytest.mark.parametrize(
    ("stored", "code", "bits"),
    [
        ((np.tile(EXACT, 80) * 128 + 128).astype(np.uint8), 1, 8),
        ((np.tile(EXACT, 80) * 2**15).astype("<i2"), 1, 16),
        ((np.tile(EXACT, 80) * 2**31).astype("<i4").view(np.uint8).reshape(-1, 4)[:, 1:].copy(), 1, 24),
        ((np.tile(EXACT, 80) * 2**31).astype("<i4"), 1, 32),
        (np.tile(EXACT, 80).astype("<f4"), 3, 32),
        (np.tile(EXACT, 80).astype("<f8"), 3, 64),
    ],
    ids=["8", "16", "24", "32", "float", "double"],
)
def test_samples_of_every_kind_are_minus_one_to_one(
    tmp_path: Path, stored: NDArray[np.generic], code: int, bits: int
) -> None:
    content = wav_bytes(stored.reshape(-1), code=code, bits=bits, extra=b"odd")

    row = the_row(tmp_path, content, an_input(440))

    assert row.dtype == np.float32
    assert row.tolist() == FILLED.tolist()


def test_an_extensible_header_names_its_kind_of_sample(tmp_path: Path) -> None:
    plain = wav_bytes(np.tile(EXACT, 80).astype("<f4"), code=3)
    form = plain[20:36]
    long_form = struct.pack("<H", 0xFFFE) + form[2:] + struct.pack("<HHIH", 22, 32, 0, 3) + b"\0" * 14
    content = plain[:16] + struct.pack("<I", len(long_form)) + long_form + plain[36:]

    assert the_row(tmp_path, content, an_input(440)).tolist() == FILLED.tolist()


def test_channels_are_averaged_and_a_long_clip_is_cropped_at_its_end(tmp_path: Path) -> None:
    left = np.arange(1000, dtype="<i2") * 8
    both = np.stack([left, np.zeros_like(left)], axis=1)

    row = the_row(tmp_path, wav_bytes(both), an_input(1, 400))

    assert row.tolist() == [(np.arange(400) * 4 / 32_768).tolist()]


@pytest.mark.slow
def test_a_clip_is_brought_to_the_stated_rate(tmp_path: Path) -> None:
    content = wav_bytes(a_tone(8_000, rate=16_000, hertz=500), rate=16_000)

    row = the_row(tmp_path, content, an_input(4_000), sample_rate=8_000)

    expected = a_tone(4_000, rate=8_000, hertz=500).astype(np.float64) / 32_768
    assert np.abs(row.astype(np.float64)[100:3_900] - expected[100:3_900]).max() < 0.005


def test_clips_of_two_rates_need_a_stated_one(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.wav": wav_bytes(a_tone(800)), "b.wav": wav_bytes(a_tone(800), rate=8_000)})

    with pytest.raises(DatasetError, match=r"16000 Hz \(a\.wav\) and of 8000 Hz \(b\.wav\); give one sample_rate"):
        opened(tmp_path, an_input(800))


def test_a_model_of_features_takes_a_transform(tmp_path: Path) -> None:
    clip = wav_bytes(a_tone(800))
    write_files(tmp_path / "clips", {"yes/a.wav": clip, "yes/b.wav": clip, "no/c.wav": clip, "no/d.wav": clip})
    (tmp_path / "features.py").write_text("def energy(clip):\n    return (clip.reshape(4, 200) ** 2).mean(axis=1)\n")

    data = opened(tmp_path / "clips", an_input(4), transform=f"{tmp_path / 'features.py'}:energy")

    assert data.labels == ("no", "yes")
    assert data.calibration.forms["x"].shape == (4,)
    assert data.holdout["x"][0] == pytest.approx(np.full(4, (12_000 / 32_768) ** 2 / 2), rel=0.1)


@pytest.mark.parametrize("shape", [(49, 10), (40,)])
def test_features_without_a_transform_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_files(tmp_path, {"a.wav": wav_bytes(a_tone(800)), "b.wav": wav_bytes(a_tone(800))})

    with pytest.raises(DatasetError, match="no clip at 16000 Hz; name the function that makes a row of a clip"):
        opened(tmp_path, an_input(*shape))


def test_a_transform_of_another_shape_is_refused_with_the_file(tmp_path: Path) -> None:
    write_files(tmp_path / "clips", {"a.wav": wav_bytes(a_tone(800)), "b.wav": wav_bytes(a_tone(800))})
    (tmp_path / "wrong.py").write_text("def energy(clip):\n    return clip[:3]\n")
    data = opened(tmp_path / "clips", an_input(4), transform=f"{tmp_path / 'wrong.py'}:energy")

    with pytest.raises(
        DatasetError, match=r"2 of 2 files .*a\.wav: gives a row of shape \(3,\), the model takes \(4,\)"
    ):
        data.holdout.take(np.array([0]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no WAV file"),
        (b"ID3 this is another kind of sound", "is no WAV file"),
        (wav_bytes(a_tone(800))[:900], "is cut short: 1600 bytes of samples are said to be there"),
        (wav_bytes(a_tone(800))[:30], "is cut short"),
        (wav_bytes(a_tone(0)), "holds no samples"),
        (wav_bytes(a_tone(800), code=85), "has samples of 16 bits, format 85; PCM of 8 to 32 bits and float are read"),
        (wav_bytes(a_tone(800), rate=0), "claims 1 channels at 0 Hz"),
        (wav_bytes(a_tone(800), rate=4_000_000_000 // 2), "claims 1 channels at 2000000000 Hz"),
    ],
)
def test_a_file_that_is_no_clip_is_named_before_any_work(tmp_path: Path, content: bytes, words: str) -> None:
    write_files(tmp_path, {"a.wav": wav_bytes(a_tone(800)), "b.wav": content})

    with pytest.raises(DatasetError, match=rf"b\.wav: {words}"):
        opened(tmp_path, an_input(800))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, 100), new=st.binary(max_size=6), cut=st.booleans())
def test_a_damaged_clip_gives_a_row_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, place: int, new: bytes, *, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = wav_bytes(a_tone(400))
    damaged = content[:place] + new + (b"" if cut else content[place + len(new) :])
    write_files(folder, {"a.wav": damaged, "b.wav": damaged})

    said = _said(folder)

    assert "\n" not in said


def _said(folder: Path) -> str:
    try:
        opened(folder, an_input(400), sample_rate=0).holdout.take(np.array([0]))
    except DatasetError as error:
        return str(error)
    return ""
