"""How a row is shown follows from its shape, its type and the names of its columns."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from optimizer.report.examples import Cells, Curves, Picture, views
from optimizer.report.png import png

_RANDOM = np.random.default_rng(3)


def _decoded(picture: Picture) -> NDArray[np.uint8]:
    content = base64.b64decode(picture.uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_a_png_reads_back_as_the_pixels(shape: tuple[int, ...]) -> None:
    pixels = _RANDOM.integers(0, 256, size=shape).astype(np.uint8)

    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((3, 32, 32), "picture"),
        ((32, 32, 3), "picture"),
        ((1, 8, 8), "picture"),
        ((49, 10, 1), "picture"),
        ((28, 28), "picture"),
        ((15, 30), "curves"),
        ((16000,), "curves"),
        ((1, 16000), "curves"),
        ((13,), "cells"),
        ((2,), "cells"),
        ((2, 2, 2, 2), "cells"),
    ],
)
def test_the_shape_of_a_row_says_how_it_is_shown(shape: tuple[int, ...], kind: str) -> None:
    found = views("x", _RANDOM.normal(size=(2, *shape)).astype(np.float32))

    assert [view.kind for view in found] == [kind, kind]


def test_whole_numbers_in_a_row_are_tokens_and_no_series() -> None:
    (view,) = views("tokens", np.arange(64)[None])

    assert isinstance(view, Cells)
    assert view.cells[3] == ("[3]", "3")
    assert view.left_out == 54


def test_channels_first_and_last_give_the_same_picture() -> None:
    last = _RANDOM.integers(0, 256, size=(1, 6, 9, 3)).astype(np.uint8)

    (one,), (other,) = views("x", last), views("x", np.moveaxis(last, -1, 1))

    assert one == other
    assert isinstance(one, Picture)
    assert np.array_equal(_decoded(one), last[0])


def test_raw_pixels_keep_their_brightness_and_other_values_are_stretched() -> None:
    dim = np.full((1, 1, 8, 8), 100.0, dtype=np.float32)
    dim[0, 0, 0, 0] = 250
    scan = np.linspace(0, 16, 64, dtype=np.float32).reshape(1, 1, 8, 8)

    (raw,), (stretched,) = views("x", dim), views("x", scan)

    assert isinstance(raw, Picture)
    assert isinstance(stretched, Picture)
    assert _decoded(raw)[3, 3] == 100
    assert (_decoded(stretched).min(), _decoded(stretched).max()) == (0, 255)


def test_a_large_picture_is_stored_small_in_its_own_proportions() -> None:
    (view,) = views("x", np.zeros((1, 300, 600, 3), dtype=np.uint8))

    assert isinstance(view, Picture)
    assert _decoded(view).shape == (60, 120, 3)
    assert (view.width, view.height) == (96, 48)


def test_a_long_series_keeps_its_peaks() -> None:
    series = np.zeros((1, 16000), dtype=np.float32)
    series[0, 7777] = 5

    (view,) = views("x", series)

    assert isinstance(view, Curves)
    assert (view.low, view.high) == ("0", "5")
    assert ",2.0" in view.lines[0]


def test_channels_beyond_a_few_are_counted() -> None:
    (view,) = views("x", np.zeros((1, 15, 30), dtype=np.float32))

    assert isinstance(view, Curves)
    assert (len(view.lines), view.left_out) == (5, 10)


def test_a_tables_row_is_shown_by_its_columns_those_that_are_not_zero_first() -> None:
    row = np.zeros((1, 108), dtype=np.float32)
    row[0, [2, 90]] = 1, 0.25

    (view,) = views("x", row, tuple(f"column {place}" for place in range(108)))

    assert isinstance(view, Cells)
    assert view.cells == (("column 2", "1"), ("column 90", "0.25"))
    assert view.left_out == 106
