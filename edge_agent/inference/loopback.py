"""Which addresses mean this device itself, and nobody beyond it.

>>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("192.168.1.5")
(True, True, True, False)
>>> means_this_device(b"localhost:8000"), means_this_device(b"http://[::1]:3000"), means_this_device(b"fleet.example")
(True, True, False)
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return whether the name or address reaches this device only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=64)
def means_this_device(sender: bytes) -> bool:
    """Return whether a ``Host`` or an ``Origin`` header names a loopback address; ``null`` and nothing do not."""
    text = sender.decode("latin-1")
    try:
        host = urlsplit(text if "://" in text else f"//{text}").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)
