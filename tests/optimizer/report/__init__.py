"""Tests of optimizer.report."""
