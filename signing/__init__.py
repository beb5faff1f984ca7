"""Offline keys and signed releases: what release engineers do, on machines of their own.

In story order: ``errors``; ``keys`` (of people, encrypted at rest), ``hardware`` (in a PKCS#11 token);
``durable_file``, ``places`` (which signed file is which), ``metadata`` (TUF files, read strictly and written exactly),
``draft`` (what is about to be signed), ``repository`` (the folder: create, draft, sign), ``ceremony/`` (several people,
one signed file), ``verification`` (believe nothing, check all of it); ``connection`` (one request to a fleet server),
``session`` (which server, which token), ``publish``; ``terminal``, ``cli_keys`` (``edgeship keys``) and ``cli_release``
(``edgeship release``).

Import from the modules: each is one page. The server sees public halves only; no function here
sends, logs or prints a private key or a passphrase.
"""

__all__: list[str] = []
