"""Tests of optimizer.packing."""
