"""Does an application know what EKS Pod Identity is?

Its webhook sets AWS_CONTAINER_CREDENTIALS_FULL_URI to the agent's link-local address. An AWS SDK of
before that took credentials over HTTP from loopback addresses only, and says so: Go v1
(aws/defaults), botocore (utils.py ContainerMetadataFetcher), Java v2 (ContainerCredentialsProvider)
and JavaScript v2 (remote_credentials.js). Needed releases: EKS user guide, pod-id-minimum-sdk.
"""

from meshdoctor.mesh.log_text import lines
from meshdoctor.mesh.text import clean
from meshdoctor.mesh.workloads import app_containers
from meshdoctor.model.kubernetes import Pod
from meshdoctor.model.patterns import pattern

URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
ADDRESSES = ("169.254.170.23", "fd00:ec2::23")
_LOOPBACK_ONLY = pattern(
    r"invalid endpoint host, \S+, only loopback hosts are allowed|"
    r"Unsupported host '[^']{0,60}'. {1,3}Can only retrieve metadata from|"
    r"has an invalid host\. Host should resolve to a loopback address|"
    r"RemoteCredentials only supports localhost"
)


def asks_agent(pod: Pod) -> bool:
    """Whether the pod's applications are told to ask the Pod Identity agent of their node."""
    found = (e.value or "" for c in app_containers(pod) for e in c.env if e.name == URI)
    return any(address in value for value in found for address in ADDRESSES)


def too_old(text: str) -> str:
    """The last line in which an SDK takes no credentials from the agent's address; "": none.

    >>> too_old("ValueError: Unsupported host '169.254.170.23'.  Can only retrieve metadata from "
    ...         "these hosts: 169.254.170.2, localhost, 127.0.0.1")[:43]
    "ValueError: Unsupported host '169.254.170.2"
    """
    said = [line for line in lines(text) if _LOOPBACK_ONLY.search(line[:2000])]
    return clean(said[-1], 300) if said else ""
