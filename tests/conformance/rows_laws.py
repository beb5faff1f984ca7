"""What every kind of rows must hold, written once; ``tests/optimizer/data/test_rows.py`` runs it over each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from optimizer.data.rows import Rows

COUNT = 23
"""How many rows the subclass's ``rows`` have."""
PLACES = st.lists(st.integers(0, COUNT - 1), max_size=40).map(lambda places: np.array(places, dtype=np.int64))
FEW = settings(max_examples=25, deadline=None)


class RowsLaws:
    """Subclass it and supply ``rows``, and ``whole`` (what they hold, by name); both made once a class."""

    @pytest.fixture(scope="class")
    @classmethod
    def rows(cls) -> Rows:
        """Return the rows under test: ``COUNT`` of them, no two the same."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls) -> dict[str, NDArray[np.generic]]:
        """Return all of the values that the rows hold."""
        raise NotImplementedError

    def test_count_names_types_and_shapes_are_known(self, rows: Rows, whole: dict[str, NDArray[np.generic]]) -> None:
        assert rows.count == COUNT
        assert rows.names == tuple(whole)
        assert {name: (form.dtype, form.shape) for name, form in rows.forms.items()} == {
            name: (values.dtype, values.shape[1:]) for name, values in whole.items()
        }

    @FEW
    @given(places=PLACES)
    def test_taking_places_is_indexing(
        self, rows: Rows, whole: dict[str, NDArray[np.generic]], places: NDArray[np.int64]
    ) -> None:
        taken = rows.take(places)

        assert {name: (values.dtype, values.shape, values.tolist()) for name, values in taken.items()} == {
            name: (values.dtype, values[places].shape, values[places].tolist()) for name, values in whole.items()
        }

    @FEW
    @given(size=st.integers(1, COUNT + 2))
    def test_batches_are_all_rows_in_order(self, rows: Rows, whole: dict[str, NDArray[np.generic]], size: int) -> None:
        batches = list(rows.batches(size))

        (name, *_) = rows.names
        assert {len(batch[name]) for batch in batches[:-1]} <= {size}
        assert np.concatenate([batch[name] for batch in batches]).tolist() == whole[name].tolist()

    def test_a_name_gives_the_whole_tensor(self, rows: Rows, whole: dict[str, NDArray[np.generic]]) -> None:
        assert {name: rows[name].tolist() for name in rows.names} == {
            name: values.tolist() for name, values in whole.items()
        }

    def test_another_name_gives_nothing(self, rows: Rows) -> None:
        with pytest.raises(KeyError):
            rows["no such tensor"]

    @FEW
    @given(places=PLACES.filter(len), turn=st.integers(0, 1 << 30))
    def test_picked_rows_are_rows_of_their_own(
        self, rows: Rows, whole: dict[str, NDArray[np.generic]], places: NDArray[np.int64], turn: int
    ) -> None:
        inner = np.random.default_rng(turn).integers(0, len(places), size=7)

        picked = rows.pick(places)

        assert (picked.count, picked.forms) == (len(places), rows.forms)
        assert {name: values.tolist() for name, values in picked.take(inner).items()} == {
            name: values[places][inner].tolist() for name, values in whole.items()
        }

    def test_the_digest_is_of_content_and_order(self, rows: Rows) -> None:
        backwards = np.arange(COUNT)[::-1]

        digests = [one.digest for one in (rows, rows.pick(np.arange(COUNT)), rows.pick(backwards))]

        assert digests[0] == digests[1] == rows.digest
        assert digests[2] != digests[0]
        assert rows.pick(backwards).pick(backwards).digest == digests[0]
