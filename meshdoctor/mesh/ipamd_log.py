"""Why does the VPC CNI's agent give a node's pods no address, in its own words?

ipamd repeats what AWS's API answers (amazon-vpc-cni-k8s, pkg/ipamd and pkg/awsutils), and its
entrypoint waits for it as long as it does not serve ("Retrying waiting for IPAM-D").
"""

from meshdoctor.mesh.log_text import json_object, lines
from meshdoctor.mesh.text import clean
from meshdoctor.model.patterns import pattern

_AWS = pattern(
    r"(?P<said>(?:InsufficientFreeAddressesInSubnet|InsufficientCidrBlocks|UnauthorizedOperation|"
    r"PrivateIpAddressLimitExceeded|AttachmentLimitExceeded|RequestLimitExceeded)\b.*)"
)
_WAITS = pattern(r"(?P<said>Retrying waiting for IPAM-?D)")
_EMPTY = pattern(r"(?P<said>(?:DataStore )?has no available IP(?:/Prefix)? addresses)")


def why_no_address(text: str) -> str:
    """The last answer of AWS's; else that ipamd does not serve; else that it has none left; "": the
    log tells nothing of it.

    >>> why_no_address('{"level":"error","msg":"Failed to increase pool size due to '
    ...                'InsufficientFreeAddressesInSubnet: not enough"}')
    'InsufficientFreeAddressesInSubnet: not enough'
    """
    told = [_message(line[:2000]) for line in lines(text)]
    for known in (_AWS, _WAITS, _EMPTY):
        found = [m["said"] for line in told if (m := known.search(line)) is not None]
        if found:
            return clean(found[-1], 250).rstrip(".")
    return ""


def _message(line: str) -> str:
    whole = json_object(line)
    return str(whole.get("msg", "")) if whole else line
