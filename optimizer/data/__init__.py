"""The user's data: rows to calibrate with and rows to judge by. ``dataset`` holds them."""

__all__: list[str] = []
