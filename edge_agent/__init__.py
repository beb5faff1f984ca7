"""Artifact in, answers and sketches out."""
