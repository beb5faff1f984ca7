"""LSTM, GRU and RNN, as sequence operators of TFLite or unrolled step by step.

In story order: ``recurrence`` reads an operation, ``states`` sets what a sequence begins with, ``sequence`` writes it
as one operator, ``cells`` and ``unrolled`` step by step, ``results`` cuts the outputs from either, ``choice`` takes a
form.
"""

from collections.abc import Mapping

from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.recurrent.choice import lower_recurrent

_STEPS = ("FULLY_CONNECTED", "UNPACK", "SPLIT", "LOGISTIC", "TANH", "MUL", "ADD", "SUB", "PACK")
_LIMITS = "constant weights, all sequences of one length"

ENTRIES: Mapping[str, Entry] = {
    "GRU": Entry(lower=lower_recurrent, writes=_STEPS, limits=_LIMITS),
    "LSTM": Entry(
        lower=lower_recurrent,
        writes=("UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", *_STEPS),
        limits=_LIMITS,
    ),
    "RNN": Entry(
        lower=lower_recurrent,
        writes=("UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN", *_STEPS),
        limits=_LIMITS,
    ),
}

__all__ = ["ENTRIES"]
