"""Models behind their preprocessing: the same inputs and outputs, whatever the file takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contracts.preprocessing import Step, StepKind
from contracts.tensors import ElementType, Quantization, TensorSpec
from optimizer.data.rows import ArrayRows
from optimizer.served import Served, serve
from tests.optimizer.builders import an_onnx_mlp, rows


class DoublingSession:
    """A session of a file that doubles int8 numbers, a fixed batch at a time; notes what it was given."""

    def __init__(self) -> None:
        self.given: list[NDArray[np.generic]] = []

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """Return twice what it is given."""
        (values,) = inputs.values()
        self.given.append(values)
        return {"file_out": (values.astype(np.int16) * 2).clip(-128, 127).astype(np.int8)}


def _a_quantized_file(batch: int) -> tuple[Served, DoublingSession]:
    scale = Quantization(scale=0.5, zero_point=0)
    own_in = TensorSpec(name="file_in", element=ElementType.INT8, shape=(batch, 2), quantization=scale)
    own_out = TensorSpec(name="file_out", element=ElementType.INT8, shape=(batch, 2), quantization=scale)
    model = an_onnx_mlp()
    served_in = TensorSpec(name="x", element=ElementType.FP32, shape=(-1, 2))
    served_out = TensorSpec(name="y", element=ElementType.FP32, shape=(-1, 2))
    session = DoublingSession()
    served = Served(
        model=dataclasses.replace(model, spec=dataclasses.replace(model.spec, inputs=(own_in,), outputs=(own_out,))),
        session=session,
        inputs=(served_in,),
        outputs=(served_out,),
        steps=(Step(kind=StepKind.SCALE, tensor="x", factor=(10.0,)),),
    )
    return served, session


def test_steps_quantization_and_their_reverse_surround_the_file() -> None:
    served, session = _a_quantized_file(1)

    answers = served.infer({"x": np.array([[0.1, -0.2]], dtype=np.float32)})

    assert session.given[0].tolist() == [[2, -4]]
    assert answers["y"].tolist() == [[2.0, -4.0]]


def test_any_number_of_rows_goes_through_a_file_of_a_fixed_batch() -> None:
    served, session = _a_quantized_file(4)
    given = np.arange(18, dtype=np.float32).reshape(9, 2) / 20

    answers = served.infer({"x": given})

    np.testing.assert_allclose(answers["y"], given * 20)
    assert [len(batch) for batch in session.given] == [4, 4, 4]


def test_a_single_row_call_takes_the_rows_in_turn() -> None:
    served, session = _a_quantized_file(1)
    call = served.one_row({"x": np.array([[0.1, 0.1], [0.2, 0.2]], dtype=np.float32)})

    call()
    call()
    call()

    assert [int(batch[0, 0]) for batch in session.given] == [2, 4, 2]


def test_rows_go_through_a_free_batch_in_their_order() -> None:
    model, given = an_onnx_mlp(), rows((12,), count=150)

    served = serve(model, model, ())

    whole = served.infer({"row": given})["scores"]
    single = np.concatenate([served.infer({"row": given[place : place + 1]})["scores"] for place in (0, 70, 149)])
    np.testing.assert_allclose(whole[[0, 70, 149]], single, rtol=1e-5)


def test_rows_are_read_one_batch_of_the_file_at_a_time() -> None:
    served, session = _a_quantized_file(4)
    given = np.arange(18, dtype=np.float32).reshape(9, 2) / 20

    answers = served.infer(ArrayRows({"x": given}))

    assert [len(values) for values in session.given] == [4, 4, 4]
    assert answers["y"].tolist() == served.infer({"x": given})["y"].tolist()


def test_a_timed_row_comes_from_memory() -> None:
    served, session = _a_quantized_file(1)

    call = served.one_row(ArrayRows({"x": np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)}))
    call()
    call()
    call()

    assert [values.tolist() for values in session.given] == [[[2, 4]], [[6, 8]], [[2, 4]]]
