"""The passes, one file each, and the catalog that names them all.

In story order: ``export_onnx``, ``simplify_onnx``, ``quantize_static``, ``quantize_dynamic``,
``export_tflite``, ``quantize_tflite``. Importing this package imports no framework.
"""

from optimizer.pass_ import Pass
from optimizer.passes.export_onnx import ExportOnnx
from optimizer.passes.export_tflite import ExportTflite
from optimizer.passes.quantize_dynamic import QuantizeDynamic
from optimizer.passes.quantize_static import Activation, CalibrationMethod, QuantizeStatic
from optimizer.passes.quantize_tflite import QuantizeTflite
from optimizer.passes.simplify_onnx import SimplifyOnnx

CATALOG: tuple[type[Pass], ...] = (
    ExportOnnx,
    SimplifyOnnx,
    QuantizeStatic,
    QuantizeDynamic,
    ExportTflite,
    QuantizeTflite,
)

__all__ = [
    "CATALOG",
    "Activation",
    "CalibrationMethod",
    "ExportOnnx",
    "ExportTflite",
    "QuantizeDynamic",
    "QuantizeStatic",
    "QuantizeTflite",
    "SimplifyOnnx",
]
