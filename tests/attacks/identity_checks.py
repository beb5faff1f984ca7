"""The checks of identity: who one is cannot be claimed, only shown."""

from __future__ import annotations

from tests.attacks.check import Check

_TESTS = "tests/attacks/test_identity.py::test_attack_"


def _tests(*names: str) -> tuple[str, ...]:
    return tuple(f"{_TESTS}{name}" for name in names)


IDENTITY_CHECKS: tuple[Check, ...] = (
    Check(
        name="a client has its own topics and no others (mosquitto)",
        file="fleet_server/broker/mosquitto.py",
        old="acl_file {rules}\n",
        new="",
        killed_by=_tests(
            "32_a_cloned_client_id_throws_nobody_out[mosquitto]",
            "32_a_will_speaks_for_nobody_else[mosquitto]",
            "32_device_a_offers_to_b_and_to_itself[mosquitto]",
            "32_device_a_publishes_as_b[mosquitto-report]",
            "32_device_a_publishes_as_b[mosquitto-request]",
            "32_device_a_publishes_as_b[mosquitto-tenant]",
            "32_device_a_reads_b[mosquitto]",
            "32_wildcards_read_nothing_of_others[mosquitto]",
        ),
    ),
    Check(
        name="a client id is what the certificate names (mosquitto)",
        file="fleet_server/broker/mosquitto.py",
        old="use_username_as_clientid true\n",
        new="",
        killed_by=_tests(
            "32_a_cloned_client_id_throws_nobody_out[mosquitto]",
            "32_a_shared_certificate_serves_one_at_a_time[mosquitto]",
        ),
    ),
    Check(
        name="nobody comes in without a certificate of ours",
        file="fleet_server/broker/mosquitto.py",
        old="require_certificate true\nuse_identity_as_username true\nuse_username_as_clientid true\nallow_anonymous false\n",
        new="allow_anonymous true\n",
        killed_by=_tests(
            "32_nobody_enters_without_a_certificate[mosquitto]",
            "32_a_foreign_authority_vouches_for_nobody[mosquitto]",
            "32_an_expired_certificate_lets_nobody_in[mosquitto]",
        ),
    ),
    Check(
        name="a revoked certificate is on the list (mosquitto)",
        file="fleet_server/broker/mosquitto.py",
        old="crlfile {certificates}/crl.pem\n",
        new="",
        killed_by=_tests("32_a_revoked_device_is_thrown_out_and_stays_out[mosquitto]"),
    ),
    Check(
        name="a client has its own topics and no others (amqtt)",
        file="fleet_server/broker/gate.py",
        old="return (may_write if action == Action.PUBLISH else may_read)(session.client_id, topic)",
        new="return True",
        killed_by=_tests(
            "32_device_a_offers_to_b_and_to_itself[amqtt]",
            "32_device_a_publishes_as_b[amqtt-report]",
            "32_device_a_publishes_as_b[amqtt-request]",
            "32_device_a_publishes_as_b[amqtt-tenant]",
            "32_device_a_reads_b[amqtt]",
            "32_wildcards_read_nothing_of_others[amqtt]",
        ),
    ),
    Check(
        name="a client id is what the certificate names (amqtt)",
        file="fleet_server/broker/gate.py",
        old='encoded = name.encode("ascii")',
        new="encoded = body[12:]",
        killed_by=_tests("32_a_cloned_client_id_throws_nobody_out[amqtt]"),
    ),
    Check(
        name="an older connection of the name ends (amqtt)",
        file="fleet_server/broker/gate.py",
        old="if older is not None:",
        new="if False:",
        killed_by=_tests(
            "32_a_shared_certificate_serves_one_at_a_time[amqtt]",
            "32_a_revoked_device_is_thrown_out_and_stays_out[amqtt]",
        ),
    ),
    Check(
        name="a revoked certificate is on the list (amqtt)",
        file="fleet_server/broker/gate.py",
        old="self.tls.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF",
        new="pass",
        killed_by=_tests("32_a_revoked_device_is_thrown_out_and_stays_out[amqtt]"),
    ),
    Check(
        name="TLS is pinned to the authority",
        file="edge_agent/identity/tls.py",
        old="context.load_verify_locations(cadata=authorities)",
        new="context.check_hostname, context.verify_mode = False, ssl.CERT_NONE",
        killed_by=_tests(
            "32_a_device_cannot_pass_for_the_server",
            "token_a_man_in_the_middle_shows_the_right_authority_and_hears_no_secret",
        ),
    ),
    Check(
        name="the authority has the token's fingerprint",
        file="edge_agent/identity/enrolling.py",
        old="if not hmac.compare_digest(found, fingerprint):",
        new="if False:",
        killed_by=_tests("token_a_man_in_the_middle_hears_no_secret"),
    ),
    Check(
        name="one certificate is shown as the authority, not two",
        file="edge_agent/identity/tls.py",
        old='if certificate.count("-----BEGIN") != 1:',
        new='certificate = certificate[: certificate.index("-----END") + 25]\n    if False:',
        killed_by=_tests("token_two_certificates_shown_as_one_are_not_both_trusted"),
    ),
    Check(
        name="a report is signed by its device",
        file="fleet_server/broker/inbox.py",
        old='raise ReportDropped("signature") from error',
        new="pass",
        killed_by=_tests(
            "33_an_envelope_that_names_another_device_is_dropped", "33_healthy_on_anothers_behalf_is_dropped"
        ),
    ),
    Check(
        name="a report counts once",
        file="fleet_server/broker/inbox.py",
        old="if heard.has(envelope.sequence):",
        new="if False:",
        killed_by=_tests("33_an_old_signed_status_played_again_changes_nothing"),
    ),
    Check(
        name="a revoked device's reports are dropped",
        file="fleet_server/broker/inbox.py",
        old="if row.revoked_at is not None:",
        new="if False:",
        killed_by=_tests("33_reports_of_a_revoked_device_are_dropped_and_counted"),
    ),
    Check(
        name="a token has so many uses",
        file="fleet_server/devices/enrollment_store.py",
        old="if taken is None:",
        new="if False:",
        killed_by=_tests("token_a_used_token_lets_no_second_device_in"),
    ),
    Check(
        name="a name belongs to one key",
        file="fleet_server/devices/enrollment_store.py",
        old="if known.public_key != public_key:",
        new="if False:",
        killed_by=_tests("token_a_name_is_not_taken_over_with_another_key"),
    ),
    Check(
        name="a device's name is a name",
        file="fleet_server/devices/enrollment_store.py",
        old="device = parse_device_id(request.device)",
        new="device = request.device",
        killed_by=_tests(
            "names_no_device_gets_a_name_that_is_none[html]",
            "names_no_device_gets_a_name_that_is_none[path]",
            "names_no_device_gets_a_name_that_is_none[plus]",
            "names_no_device_gets_a_name_that_is_none[sql]",
            "names_no_device_gets_a_name_that_is_none[topic]",
        ),
    ),
    Check(
        name="a renewal is signed with the enrolled key",
        file="fleet_server/identity/issuing.py",
        old="if row is None or _public_key(asked).public_bytes_raw().hex() != row.public_key:",
        new="if row is None:",
        killed_by=_tests("certificate_only_the_enrolled_key_renews"),
    ),
    Check(
        name="a nonce brings one certificate",
        file="fleet_server/identity/issuing.py",
        old="now=now, nonce=nonce)",
        new="now=now)",
        killed_by=_tests("certificate_a_renewal_played_again_is_refused"),
    ),
    Check(
        name="a revoked device renews no more",
        file="fleet_server/identity/issuing.py",
        old="if row.revoked_at is not None:",
        new="if False:",
        killed_by=_tests("certificate_a_revoked_device_renews_no_more"),
    ),
    Check(
        name="a nonce is ours",
        file="fleet_server/identity/nonces.py",
        old="if not hmac.compare_digest(seal.encode(), _seal(authority, stated).encode()):",
        new="if False:",
        killed_by=_tests(
            "certificate_a_made_up_nonce_is_refused[words]", "certificate_a_made_up_nonce_is_refused[form]"
        ),
    ),
    Check(
        name="a nonce is fresh",
        file="fleet_server/identity/nonces.py",
        old='if int(stated.partition(".")[0], 16) < now.timestamp():',
        new="if False:",
        killed_by=_tests("certificate_an_old_nonce_is_refused"),
    ),
    Check(
        name="a certificate was issued by us, to that device",
        file="fleet_server/identity/store.py",
        old='DeviceCertificateRow.serial == f"{serial:x}",',
        new="",
        killed_by=_tests("certificate_one_that_was_never_issued_opens_nothing"),
    ),
    Check(
        name="a revoked device's certificate opens nothing",
        file="fleet_server/identity/store.py",
        old="found.revoked_at is None and ",
        new="",
        killed_by=_tests("certificate_a_revoked_device_fetches_no_more"),
    ),
    Check(
        name="an expired certificate opens nothing",
        file="fleet_server/identity/store.py",
        old="and found.expires_at > now",
        new="",
        killed_by=_tests("certificate_an_expired_one_fetches_no_more"),
    ),
    Check(
        name="a release that a device reports has a release's name",
        file="fleet_server/devices/store.py",
        old="parse_model_name(model): parse_release_id(release) for",
        new="model: release for",
        killed_by=_tests("names_of_releases_that_a_device_reports_must_be_names"),
    ),
    Check(
        name="what a device says is text on a page",
        file="fleet_server/console/rendering.py",
        old="autoescape=True",
        new="autoescape=False",
        killed_by=_tests("names_that_a_device_reports_are_text_and_nothing_else"),
    ),
)
