"""Representative inputs for passes that calibrate: ``rows``, and what inner tensors looked like: ``statistics``."""

__all__: list[str] = []
