"""Which lines of an application's log tell of its own TLS failing?"""

import pytest

from meshdoctor.mesh import app_log


@pytest.mark.parametrize(
    "line",
    [
        "Get https://a: x509: certificate signed by unknown authority",
        "remote error: tls: unknown certificate authority; tls: handshake failure",
        "javax.net.ssl.SSLHandshakeException: PKIX path building failed",
        "requests.exceptions.SSLError: [SSL: CERTIFICATE_VERIFY_FAILED]",
        "Error: unable to verify the first certificate",
        "curl: (60) SSL certificate problem: self-signed certificate",
    ],
)
def test_failures_of_usual_stacks(line: str) -> None:
    assert app_log.tls_failures(f"started\n{line}\nok\n") == (line,)


def test_other_lines_are_no_failures() -> None:
    assert app_log.tls_failures("loaded x509 store\nserving TLS on :8443\n500 from a\n") == ()


@pytest.mark.parametrize(
    "line",
    [
        "javax.net.ssl.SSLHandshakeException: Remote host terminated the handshake",
        "SSLHandshakeException: Remote host closed connection during handshake",
        "curl: (35) OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to a:443",
        "requests.exceptions.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number",
        "error:0A000126:SSL routines::unexpected eof while reading",
        "tls: first record does not look like a TLS handshake",
    ],
)
def test_the_other_side_that_hangs_up_is_no_failure_of_the_application(line: str) -> None:
    assert app_log.tls_failures(line) == ()


def test_tls_that_is_answered_without_tls() -> None:
    text = (
        "requests.exceptions.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number\n"
        "tls: first record does not look like a TLS handshake\n"
        "javax.net.ssl.SSLException: Unsupported or unrecognized SSL message\n"
        "tls: bad certificate\n"
    )
    assert app_log.no_tls(text) == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("WARN no Authorization header in request GET /me", True),
        ("Bearer token is missing", True),
        ("401: JWT not provided", True),
        ("MissingServletRequestHeader: header 'Authorization' is not present", True),
        ("token accepted for alice", False),
        ("no route for /tokens", False),
        ("refreshed the token cache", False),
    ],
)
def test_requests_without_token(line: str, says: bool) -> None:
    assert app_log.misses_token(f"started\n{line}\n") == (line if says else "")
