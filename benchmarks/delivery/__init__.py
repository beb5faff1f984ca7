"""What ``delivery_bytes`` compares: next versions of real models, and the ways to send them.

In story order: ``training`` makes the next versions of a network, ``versions`` their artifacts of each kind, ``ways`` are
the rivals, ``rows`` what came of each.
"""
