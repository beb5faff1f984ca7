"""TLS towards the fleet: one authority, pinned; names are checked, times are not.

A device's clock is not to be trusted, so a certificate's dates say nothing here: freshness comes from signed
metadata [wire-7.4]. The system's authorities count for nothing.
"""

from __future__ import annotations

import hashlib
import ssl

NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME; the ssl module has no name for it."""


def pinned_tls(authorities: str) -> ssl.SSLContext:
    """Return TLS that trusts these authorities (PEM) and no others.

    Raises:
        ValueError: they are empty or not ASCII.
        ssl.SSLError: they are no certificates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # demands a certificate, and that it names the host
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authorities)
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    return context


def unverified_tls() -> ssl.SSLContext:
    """Return TLS that trusts whoever answers: only for asking who that claims to be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint_of(certificate: str) -> tuple[str, str]:
    """Return the SHA-256 of the one certificate in the PEM, and the certificate in its one spelling.

    Raises:
        ValueError: there is none, or more than one.
    """
    if certificate.count("-----BEGIN") != 1:
        raise ValueError("not one certificate")
    der = ssl.PEM_cert_to_DER_cert(certificate)
    return hashlib.sha256(der).hexdigest(), ssl.DER_cert_to_PEM_cert(der)
