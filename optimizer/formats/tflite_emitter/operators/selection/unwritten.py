"""Operators that are refused, each with its reason and the way out."""

from __future__ import annotations

from collections.abc import Mapping

_FROM_DATA = "the size of its result depends on the data, which no TFLite file can promise"
UNWRITTEN: Mapping[str, str] = {
    "Col2Im": "it adds overlapping blocks; use ConvTranspose with a kernel of ones on the diagonal",
    "Compress": f"{_FROM_DATA}; use Gather with constant indices, or Mul with a mask",
    "ConstantOfShape": "its shape is computed; fix the sizes that lead to it, and it is folded",
    "DeformConv": "its places are computed; use Conv, or stay with ONNX",
    "GridSample": "its places are computed; Resize at fixed places, or warp the image before the model",
    "MaxRoiPool": "its regions are computed; cut the graph before it",
    "MaxUnpool": "its places are computed; use ConvTranspose or Resize",
    "NonMaxSuppression": f"{_FROM_DATA}; cut the graph before it: the agent's postprocessing does it",
    "NonZero": f"{_FROM_DATA}; use Where, or Mul with a mask",
    "Range": "its bounds are computed; fix the sizes that lead to it, and it is folded",
    "RoiAlign": "its regions are computed; cut the graph before it",
    "Unique": f"{_FROM_DATA}; cut the graph before it",
}
"""Reason and way out, by ONNX operator."""
