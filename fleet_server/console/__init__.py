"""The console: what the server knows, for people, in a browser.

Pages are written by the server and read without a script; ``web/`` adds what draws and what is live.

- ``reading``: what the pages may ask for, ``acting``: what they may set going, ``access``: who may
- ``stores``: the three over the server's own stores; ``mounting`` puts the console into an app
- ``words``, ``progress``, ``overlays``, ``query``: pure; states as words and signs, figures of a rollout, filters
- ``rendering``: templates, static files; ``routing``: headers and errors of every page
- ``pages``, ``acts``, ``entrance``: the routes
- ``ticks``, ``live``: what changed in the last second, for whoever watches
"""
