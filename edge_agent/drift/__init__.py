"""What the traffic looked like: ``window`` (counts of one release in one window), ``sketcher`` (fills them)."""

__all__: list[str] = []
