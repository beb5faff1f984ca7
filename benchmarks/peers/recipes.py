"""The peers' recipes: each as its own guide recommends it, on the same rows. Fixed before anything was tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way of one peer: the script that runs it, in which environment, with which of its switches.

    ``all_int8`` says that it quantizes the whole network to int8; ``transformers_only`` that its guide
    recommends it for these alone: elsewhere it leaves the original unchanged.
    """

    name: str
    environment: str
    script: str
    flags: tuple[str, ...] = ()
    all_int8: bool = False
    transformers_only: bool = False


RECIPES: Final[tuple[Recipe, ...]] = (
    Recipe(name="ORT static", environment="ort", script="ort_quantize", all_int8=True),
    Recipe(
        name="ORT static U8S8 per channel",
        environment="ort",
        script="ort_quantize",
        flags=("--u8s8", "--per-channel"),
        all_int8=True,
    ),
    Recipe(name="ORT dynamic", environment="ort", script="ort_quantize", flags=("--dynamic",)),
    Recipe(
        name="ORT dynamic per channel",
        environment="ort",
        script="ort_quantize",
        flags=("--dynamic", "--per-channel"),
        transformers_only=True,
    ),
    Recipe(name="NNCF", environment="nncf", script="nncf_quantize", all_int8=True),
    Recipe(name="NNCF accuracy control", environment="nncf", script="nncf_quantize", flags=("--accuracy-control",)),
    Recipe(name="onnx-neural-compressor", environment="onc", script="onc_quantize", all_int8=True),
    Recipe(name="onnxsim recommender", environment="onnxsim", script="onnxsim_recommend"),
    Recipe(name="Olive run", environment="olive", script="olive_quantize", all_int8=True),
    Recipe(name="Olive optimize", environment="olive", script="olive_quantize", flags=("--optimize",)),
)
