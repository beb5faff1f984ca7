"""The server's own certificate authority: made by ``server init``, known to devices by its fingerprint.

It signs three kinds of certificates, and none of them can pass for another: a device's may only be a client
and its name has slashes [wire-7.2]; the server's may only be a server; the server's own as a client of the broker
is named ``fleet-server``, which no device's name can be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contracts.ids import DeviceId, TenantId
from fleet_server.errors import ConfigError, DataDirUnusable, RequestRefused
from fleet_server.identity.folder import IdentityFolder, write_private

SERVER_NAME = "fleet-server"
AUTHORITY_LIFE = timedelta(days=20 * 365)
SKEW = timedelta(hours=1)
"""How far the clock of a broker on another machine may be behind ours."""
LONGEST_NAME = 64
"""X.520's bound on a common name."""

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """One certificate that counts no more, until it expires anyway."""

    serial: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Authority:
    """Certificate and key; it signs, and keeps nothing."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate, as devices pin it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, 64 hexadecimal characters: the second half of every enrollment token."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def derived_key(self, purpose: bytes) -> bytes:
        """Return 32 secret bytes for a purpose of the server's own, the same in every process of it."""
        secret = self.key.private_numbers().private_value.to_bytes(32, "big")
        return hashlib.sha256(b"edgeship derived key 1\0" + purpose + b"\0" + secret).digest()

    def for_device(
        self, tenant: TenantId, device: DeviceId, key: ed25519.Ed25519PublicKey, *, now: datetime, life: timedelta
    ) -> x509.Certificate:
        """Return the device's certificate, valid from now for that long.

        Raises:
            RequestRefused: tenant and device together are too long for a certificate.
        """
        name = device_name(tenant, device)
        builder = self._builder(name, key, now=now, life=life)
        return self._signed(builder.add_extension(_usage(ExtendedKeyUsageOID.CLIENT_AUTH), critical=True))

    def for_server(
        self, names: Sequence[str], key: ec.EllipticCurvePublicKey, *, now: datetime, life: timedelta
    ) -> x509.Certificate:
        """Return the certificate with which server and broker show themselves to devices under those names."""
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        builder = self._builder("edgeship server", key, now=now, life=life)
        builder = builder.add_extension(alternatives, critical=False)
        return self._signed(builder.add_extension(_usage(ExtendedKeyUsageOID.SERVER_AUTH), critical=True))

    def for_link(self, key: ec.EllipticCurvePublicKey, *, now: datetime, life: timedelta) -> x509.Certificate:
        """Return the certificate with which the server shows itself to the broker."""
        builder = self._builder(SERVER_NAME, key, now=now, life=life)
        return self._signed(builder.add_extension(_usage(ExtendedKeyUsageOID.CLIENT_AUTH), critical=True))

    def revocation_list(self, revoked: Iterable[Revoked], *, now: datetime) -> bytes:
        """Return the list, as PEM. It outlives the authority: an expired one would lock every device out."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now)
            .next_update(self.certificate.not_valid_after_utc)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.serial).revocation_date(one.at).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _builder(self, name: str, key: PublicKey, *, now: datetime, life: timedelta) -> x509.CertificateBuilder:
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(_subject(name))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW)
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_SIGNING_ONLY, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(issuer_key, critical=False)
        )

    def _signed(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self.key, hashes.SHA256())


def device_name(tenant: TenantId, device: DeviceId) -> str:
    """Return the common name of a device's certificate: the part of its topics that is its own.

    Raises:
        RequestRefused: it is too long.
    """
    name = f"{tenant}/d/{device}"
    if len(name) > LONGEST_NAME:
        longest = LONGEST_NAME - len(name) + len(device)
        raise RequestRefused(f"device name {device!r} is too long for a certificate; use at most {longest} characters")
    return name


def create_authority(folder: IdentityFolder, now: datetime) -> Authority:
    """Make the authority in the folder, which becomes private.

    Raises:
        DataDirUnusable: the folder cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(f"edgeship authority {x509.random_serial_number():040x}"[:LONGEST_NAME])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CERTIFYING_ONLY, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(certificate, key)
    try:
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(folder.authority, authority.pem.encode("ascii"))
        write_private(folder.authority_key, private_pem(key))
    except OSError as error:
        raise DataDirUnusable(
            f"cannot write to {folder.path}: {error.strerror}; choose another --data folder"
        ) from error
    return authority


def load_authority(folder: IdentityFolder) -> Authority:
    """Return the authority of the folder.

    Raises:
        ConfigError: there is none, or its files are damaged or readable by others.
    """
    path = folder.authority_key
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} may be read by others than its owner; run: chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        certificate = x509.load_pem_x509_certificate(folder.authority.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(f"{error.filename} is missing; 'edgeship server init --data DIR' makes it") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the authority in {folder.path}: {error}; restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigError(f"key and certificate in {folder.path} do not belong together; restore both from one backup")
    return Authority(certificate, key)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as PEM, not encrypted: its file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(purpose: x509.ObjectIdentifier) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([purpose])


def _key_usage(*, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certifies,
        key_cert_sign=certifies,
        crl_sign=certifies,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


_SIGNING_ONLY = _key_usage(certifies=False)
_CERTIFYING_ONLY = _key_usage(certifies=True)
