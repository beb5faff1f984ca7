"""MQTT: the link, the inbox and the outbox; and brokers to try things out with."""
