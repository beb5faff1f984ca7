"""What ``delivery_bytes`` compares: next versions of real models, and the ways to send them.

In story order: ``training`` makes the next versions of a network, ``versions`` their artifacts of each kind,
``weights`` reads what changed in them, ``ways`` are the ways to send one.
"""
