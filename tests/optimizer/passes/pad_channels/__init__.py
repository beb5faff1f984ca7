"""Tests of padding channels."""
