"""From an offer to a release that serves, or a reason why not.

In story order: ``states`` (the table), ``journal`` (what was about to happen), ``wholeness`` (is a file what was
signed), ``slots`` (where it lies), ``serving`` (what is asked of the inference side), ``probation`` (is it fit),
``outcome`` (what the server is told), ``machine`` (journal, then act), ``worker`` (the one thread it runs in).
"""

__all__: list[str] = []
