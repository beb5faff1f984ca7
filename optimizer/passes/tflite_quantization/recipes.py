"""What a precision asks of ai-edge-quantizer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final


class Precision(StrEnum):
    """What becomes integer, or half precision."""

    INT8 = "int8"
    """Weights, activations, inputs and outputs; no float tensor is left but those of operators that are kept."""
    MIXED = "mixed"
    """As int8 wherever an operator has an integer form; the others stay float."""
    INT16X8 = "int16x8"
    """Weights in 8 bits, activations in 16; inputs and outputs stay float."""
    DYNAMIC = "dynamic"
    """Weights in 8 bits; the runtime quantizes activations row by row. LiteRT alone answers such a file rightly."""
    WEIGHTS = "weights"
    """Weights stored in 8 bits and computed in float: for size."""
    FP16 = "fp16"
    """Weights stored in half precision and computed in float: for size."""

    @property
    def calibrates(self) -> bool:
        """Whether ranges of activations are needed."""
        return self in (Precision.INT8, Precision.MIXED, Precision.INT16X8)

    @property
    def in_integers(self) -> bool:
        """Whether some tensor of the result is quantized."""
        return self is not Precision.FP16


_WIDENED: Final = frozenset({Precision.WEIGHTS, Precision.FP16})
"""What the runtime widens before it computes, with any number of scales."""
_INTEGER_ENDS: Final = frozenset({Precision.INT8, Precision.MIXED})
_ENDS: Final = ("INPUT", "OUTPUT")


def recipe_of(precision: Precision, keep: Sequence[str]) -> list[dict[str, Any]]:
    """Return ai-edge-quantizer's recipe: the precision for every operator but those that give a kept tensor.

    Args:
        precision: what becomes integer.
        keep: names of tensors whose operators stay float; of an input or output, it stays float itself.
    """
    from ai_edge_quantizer import algorithm_manager, recipe

    names = algorithm_manager.AlgorithmName
    made: list[dict[str, Any]] = {
        Precision.INT8: recipe.static_wi8_ai8,
        Precision.MIXED: recipe.static_wi8_ai8,
        Precision.INT16X8: recipe.static_wi8_ai16,
        Precision.DYNAMIC: recipe.dynamic_wi8_afp32,
        Precision.WEIGHTS: recipe.weight_only_wi8_afp32,
        Precision.FP16: _half,
    }[precision]()
    if precision not in _WIDENED:
        made.append(_one_scale_products(made[0]))
    untouched = {"algorithm_key": names.NO_QUANTIZE, "op_config": {}}
    if precision.calibrates and precision not in _INTEGER_ENDS:
        made += [{"regex": ".*", "operation": end, **untouched} for end in _ENDS]
    if keep:
        scope = "|".join(re.escape(name) for name in sorted(keep))
        made.append({"regex": f"(^|;)({scope});", "operation": "*", **untouched})
    return made


def _one_scale_products(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe for a product with a constant: LiteRT's kernel reads one scale of it, and the tool writes many.

    Left as it is, such a file loads and answers off by more than half of its range.
    """
    config = dict(whole["op_config"])
    config["weight_tensor_config"] = {**config["weight_tensor_config"], "granularity": "TENSORWISE"}
    return {**whole, "operation": "BATCH_MATMUL", "op_config": config}


def _half() -> list[dict[str, Any]]:
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    recipes = recipe_manager.RecipeManager()
    recipes.add_weight_only_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        num_bits=16,
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    made: list[dict[str, Any]] = recipes.get_quantization_recipe()
    return made
