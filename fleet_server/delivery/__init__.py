"""Handing out chunks: to whom, how fast, in which order.

In story order: ``recipient`` (who gets a chunk), ``cuts`` (which chunks an artifact has), ``buckets`` (how fast),
``sending`` (over MQTT, all devices in turn), ``routes`` (over HTTPS).
"""

__all__: list[str] = []
