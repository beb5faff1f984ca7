"""The passes, one file each, and the catalog that names them all.

In story order: ``export_onnx``, ``simplify_onnx``, ``layers``, ``fold_batchnorm``, ``equalize_layers``, ``static``,
``quantize_static``, ``quantize_dynamic``,
``save_optimized``, ``save_ort``, ``export_tflite``, ``quantize_tflite``. Importing this package imports no framework.
"""

from optimizer.calibration.ranges import CalibrationMethod
from optimizer.pass_ import Pass
from optimizer.passes.equalize_layers import EqualizeLayers
from optimizer.passes.export_onnx import ExportOnnx
from optimizer.passes.export_tflite import ExportTflite
from optimizer.passes.fold_batchnorm import FoldBatchnorm
from optimizer.passes.quantize_dynamic import QuantizeDynamic
from optimizer.passes.quantize_static import Activation, QuantizeStatic, Rounding, Weight
from optimizer.passes.quantize_tflite import QuantizeTflite
from optimizer.passes.save_optimized import Level, SaveOptimized
from optimizer.passes.save_ort import SaveOrt
from optimizer.passes.simplify_onnx import SimplifyOnnx

CATALOG: tuple[type[Pass], ...] = (
    ExportOnnx,
    SimplifyOnnx,
    FoldBatchnorm,
    EqualizeLayers,
    QuantizeStatic,
    QuantizeDynamic,
    SaveOptimized,
    SaveOrt,
    ExportTflite,
    QuantizeTflite,
)

__all__ = [
    "CATALOG",
    "Activation",
    "CalibrationMethod",
    "EqualizeLayers",
    "ExportOnnx",
    "ExportTflite",
    "FoldBatchnorm",
    "Level",
    "QuantizeDynamic",
    "QuantizeStatic",
    "QuantizeTflite",
    "Rounding",
    "SaveOptimized",
    "SaveOrt",
    "SimplifyOnnx",
    "Weight",
]
