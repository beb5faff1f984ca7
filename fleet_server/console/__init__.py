"""The console: what the server knows, for people, in a browser.

Pages are written by the server and read without a script; ``web/`` adds what draws and what is live.

- ``reading``: what the pages may ask for, ``acting``: what they may set going, ``access``: who may come in
- ``stores``: the three over the server's own stores; ``parts``: what all routes share
- ``words``, ``progress``, ``overlays``, ``query``, ``listing``: pure; states as words and signs, figures, filters
- ``rendering``: templates, static files; ``routing``: headers and errors of every page
- ``pages``: the router, with ``entrance``, ``device_pages``, ``rollout_pages`` and ``alert_pages``
- ``ticks``, ``live``: what changed in the last second, for whoever watches
"""
