"""GELU, one operator in TFLite; Attention and Einsum, which are rewritten into products before they come here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from optimizer.formats.tflite_emitter.operators.entry import Entry

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering


def lower_gelu(operation: Operation, lowering: Lowering) -> None:
    """Write Gelu, exact or by tanh, in whatever layout the value has."""
    value = lowering.value(operation.input(0))
    options = lowering.schema.GeluOptionsT()
    options.approximate = operation.text("approximate", "none") == "tanh"
    lowering.write(operation, "GELU", (value.tensor,), axes=value.axes, options=options, columns=value.columns)


def refuse_attention(operation: Operation, lowering: Lowering) -> None:
    """Refuse the Attention that no rewrite could say by other operators."""
    raise lowering.refusal(
        operation,
        "it keeps keys and values between calls, shows or caps its scores, or has fewer heads of keys than of queries; "
        "plain attention with or without a mask is written",
    )


def refuse_einsum(operation: Operation, lowering: Lowering) -> None:
    """Refuse the Einsum that no rewrite could say by other operators."""
    equation = operation.text("equation", "")
    raise lowering.refusal(
        operation,
        f"its equation is {equation!r}; one or two values, no letter twice in one and each of one size, are written",
    )


ENTRIES: Mapping[str, Entry] = {
    "Attention": Entry(
        lower=refuse_attention,
        writes=("BATCH_MATMUL", "SOFTMAX"),
        limits="no state between calls, as many heads of keys as of queries, one output",
    ),
    "Einsum": Entry(
        lower=refuse_einsum,
        writes=("BATCH_MATMUL", "FULLY_CONNECTED", "SUM", "TRANSPOSE"),
        limits="one or two values, no letter twice in one",
    ),
    "Gelu": Entry(lower=lower_gelu, writes=("GELU",), any_layout=True),
}
