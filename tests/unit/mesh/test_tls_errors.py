"""TLS failures by name, in the layouts of old and new proxies."""

import pytest

from meshdoctor.mesh.tls_errors import connect_word, has_error, reason, verify_reason, word


def new(name: str, more: str = "") -> str:
    return f"TLS_error:|268435581:SSL_routines:OPENSSL_internal:{name}{more}:TLS_error_end"


def old(name: str, more: str = "") -> str:
    return f"TLS_error:_268435581:SSL_routines:OPENSSL_internal:{name}{more}"


@pytest.mark.parametrize("layout", [new, old])
@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("CERTIFICATE_VERIFY_FAILED", "verify_failed"),
        ("WRONG_VERSION_NUMBER", "wrong_version"),
        ("TLSV1_ALERT_UNKNOWN_CA", "alert_unknown_ca"),
        ("SSLV3_ALERT_CERTIFICATE_UNKNOWN", "alert_bad_certificate"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "alert_expired"),
        ("TLSV1_CERTIFICATE_REQUIRED", "client_cert_required"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "handshake_failure"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", "protocol"),
        ("UNSUPPORTED_PROTOCOL", "protocol"),
        ("NO_SHARED_CIPHER", "protocol"),
        ("TLSV1_UNRECOGNIZED_NAME", "unrecognized_name"),
        ("SOMETHING_ELSE", "other"),
    ],
)
def test_words(layout: object, name: str, want: str) -> None:
    text = layout(name)  # type: ignore[operator]
    assert (word(text), reason(text), has_error(text)) == (want, name, True)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("TLS_error:_Secret_is_not_supplied_by_SDS", "no_secret"),
        ("TLS error: Secret is not supplied by SDS", "no_secret"),
        ("TLS_error:|33554536:system_library:OPENSSL_internal:Connection_reset_by_peer", "reset"),
        ("delayed_connect_error:_111", ""),
        ("", ""),
        ("connection_reset_by_peer", ""),
    ],
)
def test_other_words(text: str, want: str) -> None:
    assert word(text) == want


@pytest.mark.parametrize(
    ("more", "want"),
    [
        (":verify_cert_failed:_SAN_matcher", "san"),
        (":verify cert failed: verify SAN list", "san"),
        (
            ":verify_cert_failed:_X509_verify_cert:_certificate_verification_error_at_depth_1:_"
            "unable_to_get_local_issuer_certificate",
            "root",
        ),
        (":verify_cert_failed:_self-signed_certificate_in_certificate_chain", "root"),
        (":verify cert failed: certificate has expired", "expired"),
        (":verify_cert_failed:_certificate_is_not_yet_valid", "early"),
        ("", ""),
    ],
)
def test_verify_reason(more: str, want: str) -> None:
    assert verify_reason(new("CERTIFICATE_VERIFY_FAILED", more)) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("delayed_connect_error:_111", "refused"),
        ("delayed_connect_error:_Connection_refused", "refused"),
        ("delayed_connect_error:_110", "timeout"),
        ("upstream_reset_before_response_started{connection_timeout}", "timeout"),
        ("immediate_connect_error:_No_route_to_host", "no_route"),
        ("connection_termination", "reset"),
        ("delayed_connect_error:_1111", ""),
        (new("WRONG_VERSION_NUMBER"), ""),
        ("", ""),
    ],
)
def test_connect_word(text: str, want: str) -> None:
    assert connect_word(text) == want
