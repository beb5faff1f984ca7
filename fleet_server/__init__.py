"""Release, rollout, alert, retrain request.

In story order: ``setting_up`` (a server is made), ``config``, ``clock``, ``errors``; ``database`` (tables, the
way in, migrations), ``people`` (who is asking), ``devices`` (who joined, what it said), ``trust`` (the
server's keys, and what it believes), ``releases`` (the door, the vault, the courier), ``director`` (what each device
should run), ``delivery`` (who gets which chunk, and how fast), ``broker`` (inbox and outbox),
``rollouts``, ``drift``, ``alerts``, ``retrain``;
``readmodel`` and ``overview`` (what is shown), ``console``; ``wiring``, ``body_limit``, ``health`` and ``app``
(the web application), ``supervisor`` and ``logs`` (the process), ``checkup`` and ``cli_server``.
"""

__all__: list[str] = []
