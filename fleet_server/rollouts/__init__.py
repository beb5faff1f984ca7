"""Rollouts: a release goes to the devices of a group, wave by wave, and comes back when it must.

In story order: ``errors``, ``spec`` (what is asked for), ``states`` (the tables), ``outcome`` (the server's own
codes), ``plan`` (who is in which wave), ``comparison`` and ``guard`` (may the next wave open?), ``store`` (what
people ask for and devices report), ``conductor_store``, ``evidence`` and ``conductor`` (what happens at a tick),
``routes``.
"""
