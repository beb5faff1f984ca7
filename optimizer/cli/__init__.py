"""The commands ``edgeship optimize``, ``recipe`` and ``benchmark``: ``commands``, and what they print: ``tables``."""

__all__: list[str] = []
