"""Where tensors lie in a file: an artifact's model and recorded answers, or a bare ONNX or TFLite file.

In story order: ``span`` is one tensor's place, ``onnx_file`` and ``tflite_file`` walk models, ``artifact_file`` what is
around one, ``finding`` tries them all. A file is never trusted: what leads out of it, or is too much, is left out.
"""

from contracts.delta.spans.finding import spans_of
from contracts.delta.spans.span import Span

__all__ = ["Span", "spans_of"]
