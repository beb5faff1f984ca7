"""Messages between the link's thread and the worker that takes them: fair, bounded in number and in bytes.

Whoever can reach the broker can fill a queue; it must not fill the memory, nor keep others waiting. So each device has
a short queue of its own, and they take turns: thousands of messages of one device delay another's by one message.
"""

from __future__ import annotations

import queue
import threading
from collections import deque

from contracts.ids import DeviceId, TenantId
from contracts.topics import DeviceTopic

BYTES_LIMIT = 32 * 1024 * 1024
DEVICE_LIMIT = 64
"""Messages of one device: four times what mosquitto has under way for a client."""
DEVICE_BYTES_LIMIT = 4 * 1024 * 1024

_Message = tuple[DeviceTopic, bytes]


class _OfOneDevice:
    """What waits of one device, in order."""

    def __init__(self) -> None:
        self.messages: deque[_Message] = deque()
        self.length_bytes = 0


class Waiting:
    """What came in and was not looked at yet."""

    def __init__(self, limit: int, *, limit_bytes: int = BYTES_LIMIT) -> None:
        """Start empty, with room for so many messages of so many bytes together."""
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._devices: dict[tuple[TenantId, DeviceId], _OfOneDevice] = {}
        self._turns: deque[tuple[TenantId, DeviceId]] = deque()
        self._count = 0
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, topic: DeviceTopic, body: bytes) -> None:
        """Let the message wait behind the others of its device.

        Raises:
            queue.Full: there is no room for it, or none for this device's.
        """
        key = (topic.tenant, topic.device)
        with self._changed:
            if self._count >= self._limit or self._bytes + len(body) > self._limit_bytes:
                raise queue.Full
            own = self._devices.get(key) or _OfOneDevice()
            if len(own.messages) >= DEVICE_LIMIT or own.length_bytes + len(body) > DEVICE_BYTES_LIMIT:
                raise queue.Full
            if not own.messages:
                self._devices[key] = own
                self._turns.append(key)
            own.messages.append((topic, body))
            own.length_bytes += len(body)
            self._count += 1
            self._bytes += len(body)
            self._changed.notify()

    def take(self, timeout_s: float = 0.0) -> tuple[DeviceTopic, bytes]:
        """Return the oldest message of the device whose turn it is.

        Raises:
            queue.Empty: none waits, nor came within that time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._count > 0, timeout_s):
                raise queue.Empty
            key = self._turns.popleft()
            own = self._devices[key]
            topic, body = own.messages.popleft()
            own.length_bytes -= len(body)
            self._count -= 1
            self._bytes -= len(body)
            if own.messages:
                self._turns.append(key)
            else:
                del self._devices[key]
            return topic, body
