"""Who devices are: certificates from the server's own authority, and taking them back.

``folder`` (what lies where), ``authority`` (signs certificates), ``certificates`` (the server's own),
``nonces`` (proof of freshness), ``issuing`` (a device's certificates), ``store`` (whose count), ``routes`` (joining and
renewing), ``door`` (how many may connect), ``listener`` (HTTPS for devices), ``current_device`` (who is asking),
``revocation`` (what a revoked device loses), ``keeping`` (all of it while the server runs).
"""
