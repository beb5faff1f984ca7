"""Scripts that run in the peers' own environments: each imports its peer, numpy and onnx, nothing else of ours."""
