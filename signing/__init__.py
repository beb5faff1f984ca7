"""Offline keys and signed releases: what a release engineer does, on a machine of their own.

In story order: ``errors``; ``keys`` (root and targets, encrypted at rest); ``durable_file``,
``metadata`` (TUF files, read strictly and written exactly), ``draft`` (what is about to be signed),
``repository`` (the folder: create, draft, sign), ``verification`` (believe nothing, check all of it);
``connection`` (one request to a fleet server), ``session`` (which server, which token), ``publish``;
``cli`` (``edgeship keys``, ``edgeship release``).

Import from the modules: each is one page. The server sees public halves only; no function here
sends, logs or prints a private key or a passphrase.
"""

__all__: list[str] = []
