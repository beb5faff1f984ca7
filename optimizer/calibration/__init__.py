"""Representative inputs for passes that calibrate: ``rows``."""

__all__: list[str] = []
