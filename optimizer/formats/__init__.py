"""The files of each framework: the only modules, beside ``passes``, that import a framework.

Each format module offers ``load(content, name) -> ModelSpec`` and ``session(model, threads) -> Session``:

- ``torch_format``, behind ``torch_archive``, which refuses archives that run code; ``torch_export`` makes a program
  of a module, ``torch_weights`` gives a module the weights of a file;
- ``onnx_format``, behind ``onnx_claims``, which checks what a file says of itself; ``onnx_gathering`` takes in what
  lies beside a file, ``onnx_graphs`` walks through graphs within graphs;
- ``ort_format``, read as ``ort_flatbuffer`` tells the bytes and run as ONNX;
- ``tflite_format``, which needs no TensorFlow, and ``tflite_emitter/``.

``session`` is the protocol and the door to all four; ``probe`` opens a file that came from elsewhere in a process of
its own first; ``inner_tensors`` shows every tensor of one run; ``quiet`` keeps frameworks' chatter from the terminal.
"""

__all__: list[str] = []
