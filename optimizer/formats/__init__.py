"""The files of each framework: the only modules, beside ``passes``, that import a framework.

Each format module offers ``load(content, name) -> ModelSpec`` and ``session(model, threads) -> Session``:
``torch_format`` (behind ``torch_archive``, which refuses archives that run code), ``onnx_format``,
``tflite_format`` (which needs no TensorFlow) and ``tflite_emitter/``. ``session`` is the protocol and the
door to all three; ``quiet`` keeps frameworks' chatter from the terminal.
"""

__all__: list[str] = []
