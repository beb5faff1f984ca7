"""Folders of images: fitted as it is stated, and refused by the file's name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from optimizer.data.dataset import Dataset, misfits
from optimizer.data.images import MOST_PIXELS, image_form
from optimizer.data.source import DataOptions, open_dataset
from optimizer.errors import DatasetError
from tests.optimizer.data.samples import an_input, pixels, write_files, write_images

RGB = pixels(1, 9, 7)
GRAY = pixels(2, 9, 7, channels=1)


def opened(folder: Path, *shape: int, transform: str = "") -> Dataset:
    """Return the data of the folder, half of the rows to judge by."""
    return open_dataset(folder, (an_input(*shape),), options=DataOptions(transform=transform))


def first_row(folder: Path, *shape: int) -> NDArray[np.generic]:
    """Return the row of the one image that the folder holds twice."""
    row: NDArray[np.generic] = opened(folder, *shape).holdout.take(np.array([0]))["x"][0]
    return row


def twice(folder: Path, values: NDArray[np.uint8], suffix: str = ".png") -> Path:
    """Write the image two times: one to calibrate with, one to judge by."""
    return write_images(folder, {f"a{suffix}": values, f"b{suffix}": values})


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 9, 7), RGB.transpose(2, 0, 1)), ((9, 7, 3), RGB)],
    ids=["channels first", "channels last"],
)
def test_an_image_of_the_very_size_keeps_its_values(
    tmp_path: Path, shape: tuple[int, ...], expected: NDArray[np.uint8]
) -> None:
    row = first_row(twice(tmp_path, RGB), *shape)

    assert row.dtype == np.float32
    assert row.tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(1, 9, 7), (9, 7, 1), (9, 7)])
def test_a_gray_image_takes_any_place_of_its_channel(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert first_row(twice(tmp_path, GRAY), *shape).tolist() == GRAY.reshape(shape).tolist()


def test_colour_becomes_gray_and_gray_becomes_colour(tmp_path: Path) -> None:
    gray = first_row(twice(tmp_path / "rgb", RGB), 1, 9, 7)
    colour = first_row(twice(tmp_path / "gray", GRAY), 3, 9, 7)

    luma = RGB.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert np.abs(gray[0].astype(np.float64) - luma).max() <= 1
    assert colour.tolist() == [GRAY.tolist()] * 3


def test_a_wide_image_is_cropped_around_its_centre(tmp_path: Path) -> None:
    stripes = np.repeat(np.array([0, 100, 200], dtype=np.uint8), 8)[None, :, None] * np.ones((8, 1, 3), np.uint8)

    row = first_row(twice(tmp_path, stripes), 3, 8, 8)

    assert row.tolist() == np.full((3, 8, 8), 100.0).tolist()


def test_a_large_image_is_averaged_down_to_the_input(tmp_path: Path) -> None:
    checks = np.kron(np.indices((32, 32)).sum(axis=0) % 2, np.ones((2, 2))).astype(np.uint8) * 200

    row = first_row(twice(tmp_path, checks), 1, 8, 8)

    assert np.abs(row.astype(np.float64) - 100).max() < 12


def test_an_image_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=turned)
    Image.fromarray(RGB).save(tmp_path / "b.png", exif=turned)

    row = first_row(tmp_path, 7, 9, 3)

    assert row.tolist() == np.rot90(RGB, k=-1).tolist()


def test_sixteen_bits_are_brought_to_0_to_255(tmp_path: Path) -> None:
    deep = np.array([[0, 257], [32_896, 65_535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    Image.fromarray(deep).save(tmp_path / "b.png")

    assert first_row(tmp_path, 1, 2, 2).tolist() == [[[0, 1], [128, 255]]]


def test_class_subfolders_are_the_label_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_images(tmp_path, {f"{name}/{place}.png": pixels(place) for name in ("dog", "cat") for place in range(4)})
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"litter")

    data = opened(tmp_path, 3, 9, 7)

    assert data.labels == ("cat", "dog")
    assert data.label is not None
    assert sorted(data.label.tolist()) == [0, 0, 1, 1]
    assert list(misfits("holdout", data.holdout, (an_input(3, 9, 7),))) == []


def test_a_truncated_image_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, {f"{place}.png": pixels(place) for place in range(4)})
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:150])
    data = opened(tmp_path, 3, 9, 7)

    with pytest.raises(DatasetError, match=r"2\.png: .*truncated.*; mend the file or remove it"):
        _read_all(data)


def test_many_broken_images_are_counted_and_three_of_them_named(tmp_path: Path) -> None:
    write_images(tmp_path, {f"{place}.png": pixels(place) for place in range(5, 9)})
    write_files(tmp_path, {f"{place}.png": b"no image" for place in range(5)})

    with pytest.raises(DatasetError, match=r"5 of 9 files give no row \(0\.png: is no image; .*2\.png: .*; \.\.\.\)"):
        _read_all(opened(tmp_path, 3, 9, 7))


def test_an_image_that_claims_more_pixels_than_the_limit_is_not_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")
    large = struct.pack(">IIBBBBB", MOST_PIXELS // 1000 + 1, 1000, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(bomb)
    (tmp_path / "b.png").write_bytes(bomb.replace(_chunk(b"IHDR", header), _chunk(b"IHDR", large)))

    with pytest.raises(DatasetError, match=r"more than 50 million pixels.*50001 x 1000 pixels are over the limit"):
        _read_all(opened(tmp_path, 3, 9, 7))


def test_a_format_whose_decoder_runs_another_program_is_not_opened(tmp_path: Path) -> None:
    write_images(tmp_path, {"a.png": RGB})
    (tmp_path / "b.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")

    with pytest.raises(DatasetError, match=r"b\.png: is no image"):
        _read_all(opened(tmp_path, 3, 9, 7))


def test_an_image_is_decoded_once(tmp_path: Path) -> None:
    data = opened(twice(tmp_path, RGB), 3, 9, 7)
    first = data.holdout.take(np.array([0]))["x"].tolist()
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").unlink()

    assert data.holdout.take(np.array([0]))["x"].tolist() == first


@pytest.mark.parametrize("shape", [(7,), (5, 9, 7), (2, 3, 9, 7)])
def test_an_input_that_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DatasetError, match="is no image of 1 or 3 channels"):
        image_form(an_input(*shape))


def test_a_transform_makes_the_row_of_the_pixels(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def means(pixels):\n    return pixels.mean(axis=(0, 1)) / 255\n")

    data = opened(twice(tmp_path / "images", RGB), 3, transform=f"{tmp_path / 'own.py'}:means")

    assert data.holdout["x"][0].tolist() == (RGB.mean(axis=(0, 1)) / 255).astype(np.float32).tolist()


def test_a_transform_that_fails_is_one_line_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "own2.py").write_text("def means(pixels):\n    return pixels.nothing\n")
    data = opened(twice(tmp_path / "images", RGB), 3, transform=f"{tmp_path / 'own2.py'}:means")

    with pytest.raises(DatasetError, match=r"[ab]\.png: means\(\) failed: AttributeError.*own2\.py, line 2"):
        _read_all(data)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".tiff", ".webp"])
@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 5_000), new=st.binary(max_size=6), cut=st.booleans())
def test_a_damaged_image_gives_a_row_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, place: int, new: bytes, *, cut: bool
) -> None:
    folder = twice(tmp_path_factory.mktemp("damaged"), RGB, suffix)
    content = (folder / f"a{suffix}").read_bytes()
    place %= len(content)
    (folder / f"a{suffix}").write_bytes(content[:place] + new + (b"" if cut else content[place + len(new) :]))

    said = _said(folder)

    assert "\n" not in said


def _said(folder: Path) -> str:
    try:
        _read_all(opened(folder, 3, 9, 7))
    except DatasetError as error:
        return str(error)
    return ""


def _read_all(data: Dataset) -> None:
    data.calibration.take(np.arange(data.calibration.count))
    data.holdout.take(np.arange(data.holdout.count))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
