"""amqtt as a child process: nothing to install, for trying out only.

It speaks MQTT 3.1.1, bounds neither packets nor queues, and forgets unacknowledged messages when a
connection drops. Our protocol survives all of that; a fleet should not have to. The child ends when
its standard input does, so it never outlives the server.

    python -m fleet_server.broker.embedded FOLDER PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from fleet_server.broker.child import LOOPBACK, ChildBroker, start_child

if TYPE_CHECKING:
    from pathlib import Path

BANNER = (
    "broker: amqtt on {host}:{port}, embedded, FOR TRYING OUT ONLY: it is slow, has no limits and loses messages "
    "when a connection drops. Install mosquitto, or name your own broker in server.toml."
)


def start_embedded(folder: Path, port: int) -> ChildBroker:
    """Start amqtt on the port of this machine's loopback.

    Raises:
        BrokerUnreachable: it does not start.
    """
    command = [sys.executable, "-m", "fleet_server.broker.embedded", str(folder), str(port)]
    return start_child(command, folder=folder, port=port, banner=BANNER.format(host=LOOPBACK, port=port))


async def serve(port: int) -> None:
    """Run the broker until standard input ends."""
    from amqtt.broker import Broker

    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.to_thread(sys.stdin.buffer.read)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[2])))
