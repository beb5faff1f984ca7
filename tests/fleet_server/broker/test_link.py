"""The link's own thread: nothing that the broker sends may end it."""

from __future__ import annotations

import ssl

from paho.mqtt.client import MQTTMessage

from fleet_server.broker.link import BrokerLink


def test_a_message_on_a_topic_that_is_no_text_costs_no_other_message() -> None:
    received: list[tuple[str, bytes]] = []
    link = BrokerLink("127.0.0.1", 9, ssl.create_default_context())
    link._receive = lambda topic, body: received.append((topic, body))
    cursed, honest = MQTTMessage(topic=b"es/\xff"), MQTTMessage(topic=b"es/default/d/pi-1/report")

    link._on_message(link._client, None, cursed)
    link._on_message(link._client, None, honest)

    assert received == [("es/default/d/pi-1/report", b"")]
