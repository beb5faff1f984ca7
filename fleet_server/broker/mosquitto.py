"""mosquitto: its hardened configuration, and running it as a child process bound to loopback.

Every client shows a certificate of our authority and is who it names; what it may do, the rules in
``access`` say. No persistence: whatever the broker forgets is sent again, by the devices and by the outbox.
``edgeship server broker-config`` writes the same configuration for a broker that others run.
"""

from __future__ import annotations

import os
import resource
import shutil
from typing import TYPE_CHECKING

from fleet_server.broker.access import mosquitto_rules
from fleet_server.broker.child import LOOPBACK, ChildBroker, start_child
from fleet_server.errors import BrokerUnreachable, DataDirUnusable

if TYPE_CHECKING:
    from pathlib import Path

    from fleet_server.identity.folder import IdentityFolder

FILES_OF_A_SERVICE = 65_536
SPARE_FILES = 64

_CONFIG = """\
# edgeship: hardened mosquitto (2.0 or later), made by 'edgeship server broker-config'.

# Who is let in. Only clients with a certificate of edgeship's authority; a client is who its certificate names,
# also in its client id: a second client of one device throws the first one out, but nobody throws out another's.
listener {port} {host}
cafile {certificates}/ca.pem
certfile {certificates}/server.pem
keyfile {certificates}/server.pem
crlfile {certificates}/crl.pem
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
allow_zero_length_clientid false

# What they may do: every device has its own topics and no others.
acl_file {rules}

# No persistence: mosquitto, killed, loses messages it acknowledged all the same; edgeship sends again.
persistence false

# One packet is one chunk at most (120 KiB and its frame).
max_packet_size 140000

# A subscriber that stops reading may hold 4 MiB, however many messages that is: reports are small and the server
# itself is a subscriber (28,445 of 50,000 acknowledged reports were lost under mosquitto's own limit of 1,000).
max_queued_messages 0
max_queued_bytes 4194304
max_inflight_messages 16
max_keepalive 600
set_tcp_nodelay true
persistent_client_expiration 7d
# Each connection, also one that has not shown a certificate, is a file of mosquitto's. Some stay free: to read this
# and the revocations again takes files, too. mosquitto must be allowed to open more of them than this.
max_connections {connections}
# All of that together, for every client: beyond it mosquitto refuses instead of being killed.
memory_limit 2147483648

log_dest stderr
log_type error
log_type warning
"""


_FOR_OTHERS = """\
# For a mosquitto that runs as a service, put this file into /etc/mosquitto/conf.d and:
#  1. Copy ca.pem, server.pem and crl.pem (never ca.key.pem) of the server's DATA/identity to {certificates} on the
#     broker's machine, and the rules beside this file; let the user mosquitto alone read them.
#  2. Name the broker's machine in server.toml ([identity] names = [...]) before that, so that server.pem is for it,
#     and the broker itself ([broker] kind = "external", host, port).
#  3. Whenever server.pem or crl.pem changes (about every 60 days, and at each revocation), copy it again and run
#     'systemctl reload mosquitto' (SIGHUP): mosquitto 2.0 then reads certificates, revocations and rules anew. The
#     fleet server itself ends a revoked device's session, but only the list keeps the device from coming back.
#  4. A connection costs mosquitto a file before it has shown any certificate. Give it many more files than you have
#     devices ('systemctl edit mosquitto': [Service], LimitNOFILE={files}), and let the firewall bound the connections
#     of one address to somewhat more than a site has devices, for example:
#     nft add rule inet filter input tcp dport {port} meter edgeship {{ ip saddr ct count over 200 }} reject
# Only this listener may be there: a plain one beside it would let everybody in past these rules.

"""


def configuration(*, host: str, port: int, certificates: Path, rules: Path, files: int = FILES_OF_A_SERVICE) -> str:
    """Return mosquitto's configuration, for a broker that finds certificates and rules there.

    ``files`` is how many it may open.
    """
    connections = max(1, files - SPARE_FILES)
    return _CONFIG.format(host=host, port=port, certificates=certificates, rules=rules, connections=connections)


def configuration_for_others(*, host: str, port: int, certificates: Path, rules: Path) -> str:
    """Return the configuration with what a person who runs mosquitto as a service must know."""
    return _FOR_OTHERS.format(certificates=certificates, port=port, files=FILES_OF_A_SERVICE) + configuration(
        host=host, port=port, certificates=certificates, rules=rules
    )


def write_configuration(path: Path, *, host: str, port: int, certificates: Path) -> Path:
    """Write configuration and access rules beside each other; return where the rules are.

    Raises:
        DataDirUnusable: the folder cannot be written.
    """
    rules = path.with_suffix(".acl")
    text = configuration_for_others(host=host, port=port, certificates=certificates, rules=rules)
    try:
        rules.write_text(mosquitto_rules(), encoding="ascii")
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataDirUnusable(f"cannot write {path}: {error.strerror}; choose another --out") from error
    return rules


def find_mosquitto() -> str | None:
    """Return where mosquitto is installed, if it is."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


def start_mosquitto(folder: Path, port: int, identity: IdentityFolder) -> ChildBroker:
    """Start mosquitto on the port of this machine's loopback.

    Raises:
        BrokerUnreachable: it is not installed, or does not start.
    """
    program = find_mosquitto()
    if program is None:
        raise BrokerUnreachable("mosquitto is not installed; install it, or use --broker amqtt to try things out")
    config, rules = folder / "mosquitto.conf", folder / "mosquitto.acl"
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # the child's, too
    text = configuration(
        host=LOOPBACK,
        port=port,
        certificates=identity.path,
        rules=rules,
        files=FILES_OF_A_SERVICE if files == resource.RLIM_INFINITY else files,
    )
    if os.geteuid() == 0:
        text += "# Started by root, mosquitto would become a user who cannot read these files.\nuser root\n"
    rules.write_text(mosquitto_rules(), encoding="ascii")
    config.write_text(text, encoding="utf-8")
    banner = f"broker: mosquitto on {LOOPBACK}:{port} (this machine only), a client certificate required"
    return start_child([program, "-c", str(config)], folder=folder, port=port, banner=banner)
