"""The parts of ``tflite_conversion``: the models, the converters, and how their files are compared, timed and judged.

``subjects`` makes one folder a model (networks from ``zoo``); ``converters`` runs ``ours`` and the peers on it, the
peers' scripts from ``inside``; ``files`` opens what they gave, ``answers`` compares it with ONNX Runtime, ``timing``
times all of one model in one process; ``outcome`` holds and shows what was measured, ``bars`` judges.
"""
