"""Saved forms: the same answers, the same bytes each time, and what the far end makes of them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from device_profiles.host import host_architecture
from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed, PlanError
from optimizer.formats.ort_flatbuffer import read_tables
from optimizer.model import Format, Model
from optimizer.pass_ import Observations, Pass
from optimizer.passes import QuantizeStatic
from optimizer.passes.save_optimized import Level, SaveOptimized, level_for
from optimizer.passes.save_ort import SaveOrt
from optimizer.pipeline import Pipeline
from tests.optimizer.builders import a_profile
from tests.optimizer.formats.onnx_graphs import graph, node
from tests.optimizer.passes.nets import chain_net, residual_net
from tests.optimizer.passes.seeing import answers, given_rows, model_of, observed, proto_of

FORMS = [kind(level=level) for kind in (SaveOptimized, SaveOrt) for level in Level]
BYTES = """
import sys
from optimizer.passes.save_optimized import Level
from tests.optimizer.passes.test_saved_forms import *
print(saved(SaveOptimized(level=Level.ALL), residual_net()).digest, saved(SaveOrt(level=Level.ALL), residual_net()).digest)
"""


def saved(form: Pass, model: Model) -> Model:
    """Return the model in that form."""
    return form.run(model, Observations())


@cache
def an_int8_net() -> Model:
    """Return the residual net in static int8."""
    return QuantizeStatic().run(residual_net(), observed(residual_net()))


def a_board(architecture: str) -> DeviceProfile:
    """Return a board with a processor of that kind."""
    return dataclasses.replace(a_profile(), architecture=architecture)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_saved_form_answers_as_the_plain_file(form: Pass) -> None:
    plain = chain_net()

    result = saved(form, plain)

    assert (result.inputs, result.outputs) == (plain.inputs, plain.outputs)
    assert np.allclose(answers(result, given_rows(plain)), answers(plain, given_rows(plain)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_saved_int8_form_answers_bit_for_bit_and_says_that_it_is_quantized(form: Pass) -> None:
    plain = an_int8_net()

    result = saved(form, plain)

    assert result.spec.quantized
    assert np.array_equal(answers(result, given_rows(plain)), answers(plain, given_rows(plain)))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_one_process_writes_the_same_bytes_each_time(form: Pass) -> None:
    assert {saved(form, residual_net()).digest for _ in range(4)} == {saved(form, residual_net()).digest}


@pytest.mark.slow
def test_another_process_writes_the_same_bytes() -> None:
    command = [sys.executable, "-c", BYTES]

    told = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]

    assert told[0] == told[1]
    assert len(told[0].split()) == 2


def test_what_was_fused_for_good_is_in_the_file() -> None:
    result = saved(SaveOptimized(), chain_net())

    assert "FusedConv" in result.spec.operators
    assert len(proto_of(result).graph.node) < len(proto_of(chain_net()).graph.node)


def test_no_name_of_the_runtimes_own_numbering_is_left() -> None:
    proto = proto_of(saved(SaveOptimized(level=Level.ALL), residual_net()))

    names = [name for entry in proto.graph.node for name in (*entry.input, *entry.output, entry.name)]

    assert [name for name in names if "_token_" in name] == []


def test_a_model_in_which_nothing_can_be_fused_is_refused() -> None:
    plain = model_of(graph(node("Relu", "x", "y"), inputs={"x": (1, 4)}))

    with pytest.raises(PassFailed, match="finds nothing to optimize in net; leave this pass out"):
        saved(SaveOptimized(), plain)


def test_the_ort_format_is_worth_having_where_nothing_can_be_fused() -> None:
    plain = model_of(graph(node("Relu", "x", "y"), inputs={"x": (1, 4)}))

    assert saved(SaveOrt(), plain).format is Format.ORT


@pytest.mark.parametrize("form", [SaveOptimized, SaveOrt])
def test_a_layout_for_another_processor_is_objected_to(form: type[SaveOptimized | SaveOrt]) -> None:
    other, same = a_board("riscv64"), a_board(host_architecture())
    spec = chain_net().spec

    assert "lays the graph out for" in next(iter(form(level=Level.ALL).objections(spec, other)))
    assert list(form(level=Level.EXTENDED).objections(spec, other)) == []
    assert list(form(level=Level.ALL).objections(spec, same)) == []
    assert (level_for(other), level_for(same)) == (Level.EXTENDED, Level.ALL)


def test_no_pass_can_follow_the_ort_format() -> None:
    pipeline = Pipeline(SaveOrt(), SaveOptimized())

    with pytest.raises(
        PlanError, match="save-optimized: takes onnx, but gets ort here; nothing leads back: give the onnx model"
    ):
        pipeline.plan(chain_net(), a_profile())


def test_a_session_that_cannot_be_made_is_a_failure_of_the_pass() -> None:
    bad = graph(node("Conv", "x x", "y"), inputs={"x": (1, 3, 4, 4)})
    model = dataclasses.replace(chain_net(), content=bad[:-20])

    with pytest.raises(PassFailed, match="save-ort: ONNX Runtime cannot save net"):
        SaveOrt().apply(model, Observations())


def test_metadata_survive_in_the_ort_format() -> None:
    proto = proto_of(chain_net())
    proto.metadata_props.add(key="labels", value="cat,dog")

    result = saved(SaveOrt(), model_of(proto.SerializeToString()))

    entries = read_tables(result.content)[1][9]  # type: ignore[index] # tables by slot, without types
    assert entries == [{0: b"labels", 1: b"cat,dog"}]
