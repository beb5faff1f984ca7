"""Every kind of rows under every law; what makes rows of arrays refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from contracts.tensors import ElementType
from optimizer.data.audio import audio_body
from optimizer.data.csv_table import csv_body
from optimizer.data.folder import list_folder
from optimizer.data.images import images_body
from optimizer.data.npz import open_npz
from optimizer.data.parquet_table import parquet_body
from optimizer.data.rows import ArrayRows, Rows, as_rows
from optimizer.data.spool import SpooledRows
from optimizer.errors import DatasetError
from tests.conformance.rows_laws import COUNT, RowsLaws
from tests.optimizer.builders import rows as seeded
from tests.optimizer.data.samples import a_tone, an_input, pixels, wav_bytes, write_files, write_images

Arrays = dict[str, NDArray[np.generic]]
FLOATS = seeded((3, 2), count=COUNT)
TOKENS = np.random.default_rng(2).integers(0, 1 << 40, size=(COUNT, 5))
TABLE = seeded((4,), count=COUNT, seed=9)
PIXELS = [pixels(place) for place in range(COUNT)]
CLIPS = [a_tone(400, hertz=300.0 + 20 * place) for place in range(COUNT)]


def _arrays(_folder: Path) -> Rows:
    return ArrayRows({"a": FLOATS, "b": TOKENS})


def _picked(_folder: Path) -> Rows:
    places = np.random.default_rng(4).permutation(COUNT)
    return ArrayRows({"a": FLOATS[np.argsort(places)], "b": TOKENS[np.argsort(places)]}).pick(places)


def _stored(folder: Path) -> Rows:
    np.savez(folder / "d.npz", a=FLOATS, b=TOKENS)
    return ArrayRows(open_npz(folder / "d.npz"))


def _compressed(folder: Path) -> Rows:
    np.savez_compressed(folder / "d.npz", a=FLOATS, b=TOKENS)
    return ArrayRows(open_npz(folder / "d.npz"))


def _by_columns(folder: Path) -> Rows:
    np.savez(folder / "d.npz", a=np.asfortranarray(FLOATS), b=np.asfortranarray(TOKENS))
    return ArrayRows(open_npz(folder / "d.npz"))


def _by_columns_compressed(folder: Path) -> Rows:
    np.savez_compressed(folder / "d.npz", a=np.asfortranarray(FLOATS), b=np.asfortranarray(TOKENS))
    return ArrayRows(open_npz(folder / "d.npz"))


def _spooled(_folder: Path) -> Rows:
    spool = SpooledRows("the samples", ArrayRows({"a": FLOATS, "b": TOKENS}).forms)
    spool.extend({"a": FLOATS[:20], "b": TOKENS[:20]})
    spool.extend({"a": FLOATS[20:], "b": TOKENS[20:]})
    return spool.rows()


def _csv(folder: Path) -> Rows:
    lines = ["p,q,r,s", *(",".join(repr(float(value)) for value in row) for row in TABLE)]
    (folder / "t.csv").write_text("\n".join(lines))
    return csv_body(folder / "t.csv", (an_input(2, 2),), label="").rows


def _parquet(folder: Path) -> Rows:
    pq.write_table(pa.table(dict(zip("pqrs", TABLE.T, strict=True))), folder / "t.parquet", row_group_size=5)
    return parquet_body(folder / "t.parquet", (an_input(2, 2),), label="").rows


def _images(folder: Path) -> Rows:
    write_images(folder / "images", {f"{place:02}.png": values for place, values in enumerate(PIXELS)})
    return images_body(list_folder(folder / "images"), an_input(3, 9, 7), transform=None, how="").rows


def _sounds(folder: Path) -> Rows:
    write_files(folder / "sounds", {f"{place:02}.wav": wav_bytes(clip) for place, clip in enumerate(CLIPS)})
    listing = list_folder(folder / "sounds")
    return audio_body(listing, an_input(400), sample_rate=0, transform=None, how="").rows


IN_MEMORY: Arrays = {"a": FLOATS, "b": TOKENS}
KINDS: dict[str, tuple[Callable[[Path], Rows], Arrays]] = {
    "arrays": (_arrays, IN_MEMORY),
    "picked": (_picked, IN_MEMORY),
    "npz stored": (_stored, IN_MEMORY),
    "npz compressed": (_compressed, IN_MEMORY),
    "npz by columns": (_by_columns, IN_MEMORY),
    "npz by columns, compressed": (_by_columns_compressed, IN_MEMORY),
    "spooled": (_spooled, IN_MEMORY),
    "csv": (_csv, {"x": TABLE.reshape(-1, 2, 2)}),
    "parquet": (_parquet, {"x": TABLE.reshape(-1, 2, 2)}),
    "images": (_images, {"x": np.stack(PIXELS).transpose(0, 3, 1, 2).astype(np.float32)}),
    "sounds": (_sounds, {"x": np.stack(CLIPS).astype(np.float32) / 32_768}),
}


class TestEveryKind(RowsLaws):
    """The laws, over every kind."""

    @pytest.fixture(scope="class", params=KINDS)
    @classmethod
    def kind(cls, request: pytest.FixtureRequest) -> str:
        """Return each kind's name."""
        name: str = request.param
        return name

    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Rows:
        """Return rows of that kind."""
        make, _ = KINDS[kind]
        return make(tmp_path_factory.mktemp("rows"))

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, kind: str) -> Arrays:
        """Return what they hold."""
        return KINDS[kind][1]


def test_the_same_values_have_one_digest_wherever_they_lie(tmp_path: Path) -> None:
    kinds = (_arrays, _picked, _stored, _compressed, _by_columns, _spooled)

    digests = {make(tmp_path).digest for make in kinds}

    assert len(digests) == 1


def test_the_digest_does_not_depend_on_byte_order() -> None:
    assert ArrayRows({"a": FLOATS.astype(">f4")}).digest == ArrayRows({"a": FLOATS.astype("<f4")}).digest


@pytest.mark.parametrize(
    "other", [{"a": FLOATS, "c": TOKENS}, {"a": FLOATS.astype(np.float64), "b": TOKENS}, {"a": FLOATS}]
)
def test_the_digest_covers_names_types_and_tensors(other: Arrays) -> None:
    assert ArrayRows(other).digest != ArrayRows(IN_MEMORY).digest


@pytest.mark.parametrize(
    ("arrays", "words"),
    [({}, "got no tensor"), ({"a": FLOATS[:0]}, "got a 0"), ({"a": FLOATS, "b": TOKENS[:4]}, "got a 23, b 4")],
)
def test_tensors_of_different_lengths_are_no_rows(arrays: Arrays, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        ArrayRows(arrays)


def test_rows_are_their_own_rows() -> None:
    rows = ArrayRows({"a": FLOATS})

    assert as_rows(rows) is rows
    assert as_rows({"a": FLOATS})["a"] is FLOATS


def test_whole_numbers_of_a_table_stay_whole(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{1 << 40},{place}\n" for place in range(3)))

    rows = csv_body(tmp_path / "t.csv", (an_input(2, element=ElementType.INT64),), label="").rows

    assert rows["x"].dtype == np.int64
    assert rows["x"].tolist() == [[1 << 40, 0], [1 << 40, 1], [1 << 40, 2]]
