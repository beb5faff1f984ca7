"""The writer stores equal constants once, and what it packs stands aligned in the file, each byte in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter.file import read_file, write_file
from optimizer.formats.tflite_emitter.writer import TfliteWriter
from tests.optimizer.formats.onnx_graphs import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


def test_equal_constants_are_stored_once() -> None:
    writer = TfliteWriter()
    array = weights(40, 50)

    assert writer.add_constant("one", array) == writer.add_constant("other", array.copy())


def test_constants_that_differ_in_one_of_many_elements_are_both_stored() -> None:
    writer = TfliteWriter()
    array = weights(40, 50)
    other = array.copy()
    other[1, 1] += 1

    assert writer.add_constant("one", array) != writer.add_constant("other", other)


def test_large_and_small_constants_come_back_as_they_were_aligned_to_sixteen_bytes() -> None:
    writer = TfliteWriter()
    arrays: list[NDArray[Any]] = [
        weights(3),
        weights(300, 7),
        weights(5, 5).T,
        np.asarray([9, 8, 7, 6, 5], dtype=np.int8),
    ]
    given = writer.add_tensor("x", (1,))
    places = [writer.add_constant(f"c{place}", array) for place, array in enumerate(arrays)]
    writer.add_operator("CONCATENATION", places, [given])

    content = writer.to_bytes([], [("x", given)])

    held = [buffer.data for buffer in read_file(content).buffers[1:]]
    assert held == [np.ascontiguousarray(array).tobytes() for array in arrays]
    assert [content.index(data) % 16 for data in held] == [0] * len(arrays)
    assert write_file(read_file(content)) == content
