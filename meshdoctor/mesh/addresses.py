"""What is an IP address?"""

import ipaddress


def is_address(text: str) -> bool:
    """Whether text is an IPv4 or IPv6 address, and nothing more."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
