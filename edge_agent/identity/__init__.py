"""Who this device is: a key made here that never leaves, the place it was given in the fleet, and its certificate.

``keys`` (the device's key), ``tls`` (our authority and no other), ``deadline`` (how long an answer may take),
``exchange`` (HTTPS to the server), ``place`` (what the device keeps of its enrollment), ``enrolling`` (joining, once),
``renewal`` (a new certificate before the old one ends), ``credentials`` (what the link shows).
"""

from __future__ import annotations

from edge_agent.identity.enrolling import enroll
from edge_agent.identity.keys import DeviceKey, device_key
from edge_agent.identity.place import load_enrollment

__all__ = ["DeviceKey", "device_key", "enroll", "load_enrollment"]
