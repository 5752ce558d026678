"""Which host does an authority name?

An authority is what stands in a Host header or a URL: a host, or a host and a port (RFC 3986, 3.2).
"""


def bare_host(authority: str) -> str:
    """The host of `host`, `host:port` or `[v6]:port`, in lower case; "" of nothing.

    >>> bare_host("Shop.example.com:443"), bare_host("[fd00::1]:8080"), bare_host("fd00::1")
    ('shop.example.com', 'fd00::1', 'fd00::1')
    """
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    host = authority.partition(":")[0] if authority.count(":") == 1 else authority
    return host.lower()
