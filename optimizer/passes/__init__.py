"""The passes, one file each, and the catalog that names them all.

In story order: ``prune_channels``, ``export_onnx``, ``simplify_onnx``, ``layers``, ``fold_batchnorm``,
``equalize_layers``, ``static``, ``pad_channels``, ``quantize_static``, ``transformer``, ``arrange_transformer``,
``smooth_transformer``, ``quantize_dynamic``, ``quantize_weights``, ``convert_float16``, ``save_optimized``,
``compact_onnx``, ``save_ort``, ``export_tflite``, ``tflite_quantization``, ``integer_lstm``, ``quantize_tflite``.
Importing this package imports no framework.
"""

from optimizer.calibration.ranges import CalibrationMethod
from optimizer.pass_ import Pass
from optimizer.passes.arrange_transformer import ArrangeTransformer
from optimizer.passes.compact_onnx import CompactOnnx
from optimizer.passes.convert_float16 import ConvertFloat16
from optimizer.passes.equalize_layers import EqualizeLayers
from optimizer.passes.export_onnx import ExportOnnx
from optimizer.passes.export_tflite import ExportTflite
from optimizer.passes.fold_batchnorm import FoldBatchnorm
from optimizer.passes.pad_channels import PadChannels
from optimizer.passes.prune_channels import FineTune, Importance, PruneChannels
from optimizer.passes.quantize_dynamic import QuantizeDynamic
from optimizer.passes.quantize_static import Activation, QuantizeStatic, Rounding, Weight
from optimizer.passes.quantize_tflite import QuantizeTflite
from optimizer.passes.quantize_weights import QuantizeWeights
from optimizer.passes.save_optimized import Level, SaveOptimized
from optimizer.passes.save_ort import SaveOrt
from optimizer.passes.simplify_onnx import SimplifyOnnx
from optimizer.passes.smooth_transformer import SmoothTransformer
from optimizer.passes.tflite_quantization.recipes import Precision

CATALOG: tuple[type[Pass], ...] = (
    ExportOnnx,
    SimplifyOnnx,
    FoldBatchnorm,
    EqualizeLayers,
    PadChannels,
    QuantizeStatic,
    ArrangeTransformer,
    SmoothTransformer,
    QuantizeDynamic,
    QuantizeWeights,
    ConvertFloat16,
    SaveOptimized,
    CompactOnnx,
    SaveOrt,
    ExportTflite,
    QuantizeTflite,
    PruneChannels,
    FineTune,
)

__all__ = [
    "CATALOG",
    "Activation",
    "ArrangeTransformer",
    "CalibrationMethod",
    "CompactOnnx",
    "ConvertFloat16",
    "EqualizeLayers",
    "ExportOnnx",
    "ExportTflite",
    "FineTune",
    "FoldBatchnorm",
    "Importance",
    "Level",
    "PadChannels",
    "Precision",
    "PruneChannels",
    "QuantizeDynamic",
    "QuantizeStatic",
    "QuantizeTflite",
    "QuantizeWeights",
    "Rounding",
    "SaveOptimized",
    "SaveOrt",
    "SimplifyOnnx",
    "SmoothTransformer",
    "Weight",
]
