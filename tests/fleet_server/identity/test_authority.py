"""What the authority signs, and that none of it can pass for another."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from contracts.ids import DEFAULT_TENANT, DeviceId
from fleet_server.errors import ConfigError, RequestRefused
from fleet_server.identity.authority import Authority, Revoked, create_authority, load_authority
from fleet_server.identity.certificates import keep_certificates
from fleet_server.identity.folder import IdentityFolder
from tests.fakes.clock import START

DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> IdentityFolder:
    return IdentityFolder(tmp_path / "identity")


@pytest.fixture
def authority(folder: IdentityFolder) -> Authority:
    return create_authority(folder, START)


def _shown(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _uses(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_the_authority_comes_back_as_it_was_made(folder: IdentityFolder, authority: Authority) -> None:
    again = load_authority(folder)

    assert (again.fingerprint, again.derived_key(b"x")) == (authority.fingerprint, authority.derived_key(b"x"))
    assert stat.S_IMODE(folder.authority_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_keys_for_two_purposes_differ(authority: Authority) -> None:
    assert authority.derived_key(b"x") != authority.derived_key(b"y")


def test_a_key_that_others_may_read_is_refused(folder: IdentityFolder, authority: Authority) -> None:
    folder.authority_key.chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"):
        load_authority(folder)


def test_a_key_of_another_authority_is_refused(tmp_path: Path, folder: IdentityFolder, authority: Authority) -> None:
    other = IdentityFolder(tmp_path / "other")
    create_authority(other, START)
    folder.authority_key.write_bytes(other.authority_key.read_bytes())

    with pytest.raises(ConfigError, match="do not belong together"):
        load_authority(folder)


def test_a_server_without_an_authority_is_told_how_to_get_one(folder: IdentityFolder) -> None:
    with pytest.raises(ConfigError, match="server init"):
        load_authority(folder)


def test_a_devices_certificate_is_its_key_its_name_and_a_client_alone(authority: Authority) -> None:
    key = Ed25519PrivateKey.generate().public_key()

    made = authority.for_device(DEFAULT_TENANT, DeviceId("pi-1"), key, now=START, life=30 * DAY)

    made.verify_directly_issued_by(authority.certificate)
    assert made.subject.rfc4514_string() == "CN=default/d/pi-1"
    assert made.public_key() == key
    assert _uses(made) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert made.not_valid_after_utc == START + 30 * DAY
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_a_name_that_no_certificate_can_hold_is_refused_with_the_longest_one(authority: Authority) -> None:
    with pytest.raises(RequestRefused, match="at most 54 characters"):
        authority.for_device(
            DEFAULT_TENANT, DeviceId("p" * 55), Ed25519PrivateKey.generate().public_key(), now=START, life=DAY
        )


def test_the_servers_certificate_has_its_names_and_is_a_server_alone(
    folder: IdentityFolder, authority: Authority
) -> None:
    keep_certificates(authority, folder, names=("fleet.lan", "10.0.0.7", "::1"), now=START)

    names = _shown(folder.server).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["fleet.lan"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "::1"]
    assert _uses(_shown(folder.server)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert _uses(_shown(folder.link)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert stat.S_IMODE(folder.server.stat().st_mode) == 0o600


@pytest.mark.parametrize(("days", "renewed"), [(0, False), (59, False), (61, True), (400, True)])
def test_the_servers_certificates_renew_at_two_thirds_of_their_life(
    folder: IdentityFolder, authority: Authority, days: int, *, renewed: bool
) -> None:
    keep_certificates(authority, folder, names=("localhost",), now=START)
    before = (folder.server.read_bytes(), folder.link.read_bytes())

    said = keep_certificates(authority, folder, names=("localhost",), now=START + days * DAY)

    assert said is renewed
    assert (before == (folder.server.read_bytes(), folder.link.read_bytes())) is not renewed


def test_another_name_is_another_certificate(folder: IdentityFolder, authority: Authority) -> None:
    keep_certificates(authority, folder, names=("localhost",), now=START)

    assert keep_certificates(authority, folder, names=("localhost", "fleet.lan"), now=START)
    assert not keep_certificates(authority, folder, names=("fleet.lan", "localhost"), now=START)


def test_certificates_of_another_authority_are_made_anew(
    tmp_path: Path, folder: IdentityFolder, authority: Authority
) -> None:
    other = create_authority(IdentityFolder(tmp_path / "other"), START)
    keep_certificates(other, folder, names=("localhost",), now=START)

    assert keep_certificates(authority, folder, names=("localhost",), now=START)
    _shown(folder.server).verify_directly_issued_by(authority.certificate)


def test_the_revocation_list_outlives_the_authority_and_is_signed_by_it(authority: Authority) -> None:
    made = ec.generate_private_key(ec.SECP256R1()).public_key()
    serial = authority.for_link(made, now=START, life=DAY).serial_number

    listed = x509.load_pem_x509_crl(authority.revocation_list([Revoked(serial=serial, at=START)], now=START))

    key = authority.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert listed.is_signature_valid(key)
    assert [one.serial_number for one in listed] == [serial]
    assert listed.next_update_utc == authority.certificate.not_valid_after_utc
