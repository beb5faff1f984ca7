"""What ``edgeship fleet`` prints: the console's words and signs, in a terminal.

In story order: ``page`` (what is printed, as values), ``screen`` (prints it: rich on a terminal, plain
text elsewhere), ``tables`` (lists), ``device_filter``, ``rollout_page``, ``watching`` (a rollout, live),
``trust_page``, ``histogram`` (what moved); ``desk`` (what every command has at hand), ``rollout_commands``.
"""

__all__: list[str] = []
