"""Ending a device's session with any broker: by connecting in its name.

A broker holds one session for each client and throws the older one out. Only the authority can make a second
certificate in a device's name, so only the server can do this. The certificate lives five minutes and
exists in a file for as long as TLS takes to read it.
"""

from __future__ import annotations

import ssl
import tempfile
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet_server.errors import BrokerUnreachable
from fleet_server.identity.authority import Authority, device_name

if TYPE_CHECKING:
    from contracts.ids import DeviceId, TenantId
    from fleet_server.clock import Clock
    from fleet_server.config import BrokerConfig

LIFE = timedelta(minutes=5)
PATIENCE_S = 10.0


def end_session(
    tenant: TenantId, device: DeviceId, *, broker: BrokerConfig, authority: Authority, clock: Clock
) -> None:
    """End the device's session, if it has one.

    Raises:
        BrokerUnreachable: the broker did not let the server in under the device's name.
    """
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=device_name(tenant, device),
        protocol=paho.MQTTv311,
        reconnect_on_failure=False,
    )
    client.tls_set_context(_tls(tenant, device, authority, clock))
    inside = threading.Event()
    client.on_connect = lambda _client, _data, _flags, reason, _more: None if reason.is_failure else inside.set()
    try:
        client.connect(broker.host, broker.port)
        client.loop_start()
        if not inside.wait(PATIENCE_S):
            raise BrokerUnreachable(f"the broker at {broker.host}:{broker.port} did not let {device!r} be replaced")
    except OSError as error:
        raise BrokerUnreachable(f"cannot reach the broker at {broker.host}:{broker.port}: {error}") from error
    finally:
        client.disconnect()
        client.loop_stop()


def _tls(tenant: TenantId, device: DeviceId, authority: Authority, clock: Clock) -> ssl.SSLContext:
    key = Ed25519PrivateKey.generate()
    certificate = authority.for_device(tenant, device, key.public_key(), now=clock.now(), life=LIFE)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "device.pem"
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(path)
    return context
