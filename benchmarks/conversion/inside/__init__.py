"""Scripts that run in the peers' own environments, one model each: ``script GIVEN OUT`` writes ``OUT/out.tflite``."""
