"""Trust: the server's keys, and what signed metadata must be before the server believes them.

In story order: ``keys`` (the files of the server's own keys), ``signed_file`` (one metadata file, read strictly),
``roots`` (each root signed by the one before it), ``listing`` (targets and teams: what is released, and the security
floors), ``expiry`` (when somebody has to sign anew). All but ``keys`` is pure: text in, facts out.
"""
