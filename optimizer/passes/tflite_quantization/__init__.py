"""What quantize-tflite does inside, in story order.

``floats``: the float form of a file whose weights alone are stored small; ``recipes``: what ai-edge-quantizer is asked
for; ``ranges``: what it is told of each tensor; ``leftovers``: which tensors it left in float, and which operators make
them; ``biases``: those that its scales cannot hold; ``compact``: the file written short.
"""

__all__: list[str] = []
