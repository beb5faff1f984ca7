"""Which form a recurrence is written in: as one sequence operator where there is one, or unrolled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.formats.tflite_emitter.forms import RecurrentForm
from optimizer.formats.tflite_emitter.operators.recurrent.cells import cell_objection
from optimizer.formats.tflite_emitter.operators.recurrent.recurrence import read_recurrence
from optimizer.formats.tflite_emitter.operators.recurrent.results import define_results
from optimizer.formats.tflite_emitter.operators.recurrent.sequence import SequenceForm, sequence_objection
from optimizer.formats.tflite_emitter.operators.recurrent.unrolled import UnrolledForm

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering


def lower_recurrent(operation: Operation, lowering: Lowering) -> None:
    """Write LSTM, GRU and RNN in the form asked for, else in the one that there is.

    Raises:
        UnsupportedOperator: neither form computes it.
    """
    recurrence = read_recurrence(operation, lowering)
    no_sequence, no_cell = sequence_objection(recurrence), cell_objection(recurrence)
    if no_sequence and no_cell:
        raise lowering.refusal(operation, f"{no_sequence}, and {no_cell}")
    unrolled = no_sequence or (lowering.recurrent is RecurrentForm.UNROLLED and not no_cell)
    form = (UnrolledForm if unrolled else SequenceForm)(recurrence, lowering)
    define_results(recurrence, lowering, form)
