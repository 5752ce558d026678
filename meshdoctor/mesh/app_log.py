"""Does an application's own log tell of a TLS failure of its own, or of a token that is not there?

Texts of the usual TLS stacks: Go crypto/x509 and tls, Java JSSE, and OpenSSL and its users.
"""

import re

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

_TLS = pattern(
    r"x509: |tls: (?:failed|bad|unknown|first record|handshake|remote error)"
    r"|PKIX path (?:building|validation) failed|SSLHandshakeException|SunCertPathBuilderException"
    r"|SSL: CERTIFICATE_VERIFY_FAILED|certificate verify failed|SSLCertVerificationError"
    r"|unable to (?:get local issuer|verify the first) certificate|UNABLE_TO_VERIFY_LEAF_SIGNATURE"
    r"|self[- ]signed certificate|SSL routines:|SSL_ERROR_|curl: \((?:35|51|58|60)\)"
    r"|DEPTH_ZERO_SELF_SIGNED_CERT|CERT_HAS_EXPIRED|ERR_TLS_CERT_ALTNAME_INVALID",
    re.IGNORECASE,
)
_BY_PEER = pattern(
    r"(?:terminated|closed) (?:the |connection )?(?:during |in )?(?:the )?handshake"
    r"|SSL_ERROR_SYSCALL|SSL_ERROR_ZERO_RETURN|unexpected[ _]eof|connection reset"
    r"|wrong[ _]version[ _]number|: EOF\b|first record does not look like a TLS handshake",
    re.IGNORECASE,
)
"""The other side hung up, or answered without TLS: nothing of the application's own."""


_NO_TLS = pattern(
    r"wrong[ _]version[ _]number|first record does not look like a TLS handshake"
    r"|unsupported or unrecognized SSL message|SSL_ERROR_RX_RECORD_TOO_LONG|packet length too long",
    re.IGNORECASE,
)

_NO_TOKEN = pattern(
    r"\b(?:no|missing|without|absent|lacks?|empty)\b.{0,40}?"
    r"\b(?:authorization|bearer|access[ _-]?token|token|jwt)\b"
    r"|\b(?:authorization|bearer|access[ _-]?token|token|jwt)\b.{0,40}?"
    r"\b(?:missing|absent|required|null|empty|undefined|not (?:found|present|provided|set))\b",
    re.IGNORECASE,
)


_NO_GREETING = pattern(
    r"reading (?:initial communication packet|SSH protocol banner)|kex_exchange_identification"
    r"|has not received any packets from the server|did not receive identification string"
    r"|(?:waiting|timed? ?out|timeout)\b.{0,40}\b(?:greeting|banner|initial handshake)",
    re.IGNORECASE,
)


def no_greeting(text: str) -> int:
    """How many lines tell that a server that speaks first (MySQL, SSH, SMTP) said nothing.

    >>> no_greeting("ERROR 2013: Lost connection at 'reading initial communication packet'")
    1
    """
    return sum(1 for line in lines(text) if _NO_GREETING.search(line[:2000]))


def misses_token(text: str) -> str:
    """The last line in which an application says that a request came without its token; "": none.

    >>> misses_token("WARN no Authorization header in request GET /me")
    'WARN no Authorization header in request GET /me'
    """
    found = [line for line in lines(text) if _NO_TOKEN.search(line[:2000])]
    return clean(found[-1]) if found else ""


def no_tls(text: str) -> int:
    """How many lines tell that the application began TLS and was answered in something else.

    >>> no_tls("ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    1
    """
    return sum(1 for line in lines(text) if _NO_TLS.search(line[:2000]))


def tls_failures(text: str) -> tuple[str, ...]:
    """Lines of an application's log that tell of a TLS failure of its own, made safe to show.

    >>> tls_failures("dial failed: x509: certificate signed by unknown authority")
    ('dial failed: x509: certificate signed by unknown authority',)
    """
    heads = ((line, line[:2000]) for line in lines(text))
    return tuple(
        clean(line) for line, head in heads if _TLS.search(head) and not _BY_PEER.search(head)
    )
