"""The parts of the passes that work on a float graph's weights and ranges.

In story order: ``tensors`` reads and writes a graph's constants, ``segment`` says which operations are quantized,
``preparation`` brings the graph into the form that the quantizer gets right, ``affine`` is a layer to be scaled,
``weights`` knows the grid of each layer's weights, ``moments`` and ``rounding`` choose its points, ``correction``
takes the mean error out of the biases, ``quantizer`` writes the integers.
"""
