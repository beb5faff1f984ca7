"""Who may do what on the broker: the one rule, and how mosquitto is told.

A client is who its certificate names [wire-7.5]. ``TENANT/d/DEVICE`` reads and writes its own channels, each in its
one direction; ``fleet-server`` everything of ours; anybody else nothing. No pattern of a device has a wildcard: one
would let it into another tenant.
"""

from __future__ import annotations

from contracts.errors import TopicError
from contracts.topics import FROM_DEVICE, TO_DEVICE, parse_topic
from fleet_server.identity.authority import SERVER_NAME


def may_read(name: str, topic: str) -> bool:
    """Return whether the client of that name may subscribe to the topic and get what is published there."""
    return topic.startswith("es/") if name == SERVER_NAME else _is_own(name, topic, TO_DEVICE)


def may_write(name: str, topic: str) -> bool:
    """Return whether the client of that name may publish on the topic."""
    return topic.startswith("es/") if name == SERVER_NAME else _is_own(name, topic, FROM_DEVICE)


def mosquitto_rules() -> str:
    """Return the rule as mosquitto's ``acl_file``; ``%u`` is the certificate's name."""
    lines = [
        "# edgeship: a client is who its certificate names (%u), and has these topics alone.",
        f"user {SERVER_NAME}",
        "topic readwrite es/#",
        "",
        "# What the server tells a device, each on the device's own topic:",
        *(f"pattern read es/%u/{channel}" for channel in TO_DEVICE),
        "# What a device tells the server:",
        *(f"pattern write es/%u/{channel}" for channel in FROM_DEVICE),
    ]
    return "\n".join(lines) + "\n"


def _is_own(name: str, topic: str, channels: tuple[str, ...]) -> bool:
    try:
        parsed = parse_topic(topic)
    except TopicError:
        return False
    return name == f"{parsed.tenant}/d/{parsed.device}" and parsed.channel in channels
