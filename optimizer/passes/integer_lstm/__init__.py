"""TFLite's sequence LSTM in integers, which ai-edge-quantizer leaves in float.

In story order: ``layers`` finds the operators, ``peaks`` runs their cells over calibration rows, ``writing`` adds to a
file, ``clearing`` takes out what sets their states and puts it back in integers, ``integers`` quantizes them,
``outside`` is how quantize-tflite uses it: before ai-edge-quantizer and after it.

The scheme is LiteRT's 8x8_16: int8 weights and activations, an int16 cell state whose scale is a power of two, int32
biases.
"""

__all__: list[str] = []
