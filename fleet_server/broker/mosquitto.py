"""mosquitto as a child process: found where Debian puts it, bound to loopback, its memory bounded.

Anonymous connections are allowed because only this machine can connect; devices elsewhere need a
broker of their own, with certificates and access rules (kind = "external"). No persistence: whatever
the broker forgets is sent again, by the devices and by the outbox.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from fleet_server.broker.child import LOOPBACK, ChildBroker, start_child
from fleet_server.errors import BrokerUnreachable

if TYPE_CHECKING:
    from pathlib import Path

# One packet is one chunk at most (120 KiB and its frame). A subscriber that stops reading may hold
# 4 MiB, however many messages that is: reports are small and the server itself is a subscriber
# (28,445 of 50,000 acknowledged reports were lost under mosquitto's own limit of 1,000 messages).
_CONFIG = """\
listener {port} {host}
allow_anonymous true
persistence false
max_packet_size 140000
max_queued_messages 0
max_queued_bytes 4194304
max_inflight_messages 16
max_keepalive 600
persistent_client_expiration 7d
log_dest stderr
log_type error
log_type warning
"""


def find_mosquitto() -> str | None:
    """Return where mosquitto is installed, if it is."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def start_mosquitto(folder: Path, port: int) -> ChildBroker:
    """Start mosquitto on the port of this machine's loopback.

    Raises:
        BrokerUnreachable: it is not installed, or does not start.
    """
    program = find_mosquitto()
    if program is None:
        raise BrokerUnreachable("mosquitto is not installed; install it, or use --broker amqtt to try things out")
    config = folder / "mosquitto.conf"
    config.write_text(_CONFIG.format(port=port, host=LOOPBACK), encoding="ascii")
    banner = f"broker: mosquitto on {LOOPBACK}:{port} (this machine only)"
    return start_child([program, "-c", str(config)], folder=folder, port=port, banner=banner)
