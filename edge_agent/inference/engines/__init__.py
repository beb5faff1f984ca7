"""One module for each runtime; each imports its library inside functions only."""

__all__: list[str] = []
