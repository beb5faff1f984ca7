"""The same network in fewer bytes.

In story order: ``compact``, ``notes``, ``names``, ``constants``, ``zero_points``, ``attributes``.
"""

from optimizer.passes.compact_onnx.compact import CompactOnnx

__all__ = ["CompactOnnx"]
