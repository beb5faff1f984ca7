"""Tests of the parts of ``tflite_conversion``."""
