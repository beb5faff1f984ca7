"""Releases: verified at the door, kept by digest, handed out in chunks."""
