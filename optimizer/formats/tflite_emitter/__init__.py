"""Our own ONNX to TFLite emitter: float models, no TensorFlow.

In the order of the story: ``validity`` looks at the graph, ``reading`` makes a ``graph`` (with ``inlining`` and
``folding``), ``rewrites/`` fuse, ``layout`` says where axes lie, ``forms`` what is left to measurement, ``lowering``
holds one emission, ``operators/`` write them family by family, ``table`` lists them, ``writer`` makes the ``file``,
which ``tidy`` shortens, ``emission`` runs it all, ``verification`` runs the result beside the original.
"""

from optimizer.formats.tflite_emitter.emission import Emitted, emit
from optimizer.formats.tflite_emitter.table import SUPPORTED
from optimizer.formats.tflite_emitter.verification import check_equal, open_original

__all__ = ["SUPPORTED", "Emitted", "check_equal", "emit", "open_original"]
