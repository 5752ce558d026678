"""What went wrong in a TLS handshake, from the words that Envoy logs?

Field 7 (`upstream_transport_failure_reason`) holds BoringSSL's reasons by name, in two layouts:
`TLS_error:|N:SSL_routines:OPENSSL_internal:REASON…:TLS_error_end` (1.21 and later) and
`TLS_error:_N:SSL_routines:OPENSSL_internal:REASON` (before). Numbers differ between builds, names
do not. Newer proxies append why a certificate was not accepted, after `verify cert failed`.
"""

import re

from meshdoctor.model.patterns import pattern

_REASON = pattern(r"OPENSSL_internal:([A-Z][A-Z0-9_]+)")

WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("no_secret", ("secret is not supplied by sds",)),
    ("verify_failed", ("certificate_verify_failed",)),
    ("wrong_version", ("wrong_version_number", "http_request")),
    ("client_cert_required", ("certificate_required", "peer_did_not_return_a_certificate")),
    ("alert_unknown_ca", ("alert_unknown_ca",)),
    ("alert_expired", ("alert_certificate_expired",)),
    ("alert_bad_certificate", ("alert_certificate_unknown", "alert_bad_certificate")),
    (
        "protocol",
        (
            "alert_protocol_version",
            "unsupported_protocol",
            "no_shared_cipher",
            "alert_insufficient_security",
            "no_common_signature_algorithms",
        ),
    ),
    ("unrecognized_name", ("unrecognized_name",)),
    ("handshake_failure", ("alert_handshake_failure", "handshake_failure_on_client_hello")),
    ("reset", ("connection_reset_by_peer", "connection reset by peer")),
)
VERIFY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("san", ("san matcher", "verify san list", "subject alt name")),
    (
        "root",
        (
            "unable to get local issuer",
            "unable to get issuer",
            "unable to verify the first",
            "self-signed",
            "self signed",
        ),
    ),
    ("expired", ("certificate has expired",)),
    ("early", ("not yet valid",)),
)


def has_error(text: str) -> bool:
    """Whether a transport failure was a TLS failure."""
    return "TLS_error" in text or "TLS error" in text or "SSL_routines" in text


def word(text: str) -> str:
    """The kind of TLS failure: a name of WORDS, `other`, or "" when it is none.

    >>> word("TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:x")
    'verify_failed'
    >>> word("TLS_error:_Secret_is_not_supplied_by_SDS")
    'no_secret'
    >>> word("TLS error: 336151568:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure")
    'handshake_failure'
    """
    low = text.lower()
    forms = (low, low.replace("_", " "), low.replace(" ", "_"))  # OpenSSL's words have spaces
    for name, marks in WORDS:
        if any(mark in form for mark in marks for form in forms) and (
            name != "reset" or has_error(text)
        ):
            return name
    return "other" if has_error(text) else ""


def reason(text: str) -> str:
    """BoringSSL's own name of the last error, `CERTIFICATE_VERIFY_FAILED`; "" when none is told."""
    found = _REASON.findall(text)
    return found[-1] if found else ""


def verify_reason(text: str) -> str:
    """Why a certificate was not accepted: `san`, `root`, `expired`, `early`; "" when not told."""
    spaced = text.lower().replace("_", " ")
    return next((name for name, marks in VERIFY if any(m in spaced for m in marks)), "")


def connect_word(text: str) -> str:
    """How a connection failed before TLS: `refused`, `timeout`, `no_route`, `reset`; "" is none.

    >>> connect_word("delayed_connect_error:_111"), connect_word("connection_timeout")
    ('refused', 'timeout')
    """
    low = text.lower()
    if has_error(text):
        return ""
    if "connection_refused" in low or re.search(r"connect_error:_111\b", low):
        return "refused"
    if "timeout" in low or "timed_out" in low or re.search(r"connect_error:_110\b", low):
        return "timeout"
    if "immediate_connect_error" in low or "no_route" in low or "unreachable" in low:
        return "no_route"
    if "reset_by_peer" in low or "connection_termination" in low:
        return "reset"
    return ""
