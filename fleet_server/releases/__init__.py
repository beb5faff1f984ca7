"""Releases: verified at the door, kept by digest, revoked for good, handed out in chunks.

In story order: ``door`` (what agrees with what was signed), ``publishing`` (a submission is taken in), ``standing``
(listed, revoked, below the floor), ``online_roles`` (snapshot and timestamp), ``store``, ``vault``; ``routes``;
``answers`` and ``courier`` (to devices), ``transfer``; ``foreseen`` and
``deltas``, made by ``delta_process``; ``trust_watch`` (alerts of expiry and of revoked releases).
"""
