"""amqtt as a child process: nothing to install, for trying out only.

It speaks MQTT 3.1.1, bounds neither packets nor queues, and forgets unacknowledged messages when a
connection drops. Our protocol survives all of that; a fleet should not have to. Who may connect and do what is the
same as with mosquitto; ``gate`` sees to it in front of amqtt. The child ends when its standard input does, so
it never outlives the server; SIGHUP makes it read certificates and revocations again.

    python -m fleet_server.broker.embedded FOLDER PORT IDENTITY_FOLDER [ADDRESS]
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from fleet_server.broker.child import LOOPBACK, ChildBroker, start_child
from fleet_server.identity.folder import IdentityFolder

BANNER = (
    "broker: amqtt on {host}:{port}, embedded, FOR TRYING OUT ONLY: it is slow, has no limits and loses messages "
    "when a connection drops. Install mosquitto, or name your own broker in server.toml."
)


def start_embedded(folder: Path, port: int, identity: IdentityFolder) -> ChildBroker:
    """Start amqtt on the port of this machine's loopback.

    Raises:
        BrokerUnreachable: it does not start.
    """
    module = "fleet_server.broker.embedded"
    command = [sys.executable, "-m", module, str(folder), str(port), str(identity.path)]
    return start_child(command, folder=folder, port=port, banner=BANNER.format(host=LOOPBACK, port=port))


async def serve(port: int, identity: IdentityFolder, *, address: str = LOOPBACK) -> None:
    """Run the broker until standard input ends."""
    from amqtt.broker import Broker

    from fleet_server.broker.gate import Gate

    plugins: dict[str, dict[str, object]] = {
        "fleet_server.broker.gate.Named": {},
        "fleet_server.broker.gate.OwnTopics": {},
    }
    broker = Broker({"listeners": {"default": {"type": "external"}}, "plugins": plugins})
    await broker.start()
    gate = Gate(broker.external_connected, identity)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gate.read_certificates)
    server = await asyncio.start_server(gate.admit, address, port, ssl=gate.tls)
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[2]), IdentityFolder(Path(sys.argv[3])), address=[*sys.argv[4:], LOOPBACK][0]))
