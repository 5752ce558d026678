"""Which NetworkPolicy drops a connection?"""

import msgspec
import pytest

from meshdoctor.mesh.network_policy import blocked
from meshdoctor.model.kubernetes import (
    Container,
    ContainerPort,
    Meta,
    NetworkPolicy,
    Pod,
    PodSpec,
    PodStatus,
)
from meshdoctor.model.kubernetes import NetworkPolicySpec as Spec


def pod(ns: str, app: str, ip: str) -> Pod:
    port = ContainerPort(name="web", container_port=8080)
    return Pod(
        metadata=Meta(name=app, namespace=ns, labels={"app": app}),
        spec=PodSpec(containers=(Container(name="app", ports=(port,)),)),
        status=PodStatus(pod_ip=ip),
    )


CART, PAY = pod("web", "cart", "10.0.1.1"), pod("shop", "pay", "10.0.1.2")
SPACES = {"web": {"team": "a"}, "shop": {}}


def policy(ns: str, spec: object) -> NetworkPolicy:
    return NetworkPolicy(
        kind="NetworkPolicy",
        metadata=Meta(name="np", namespace=ns),
        spec=msgspec.convert(spec, Spec, strict=False),
    )


ANY: dict[str, object] = {"podSelector": {}}
ROWS: list[tuple[str, list[NetworkPolicy], int, str]] = [
    ("none", [], 8080, ""),
    ("default deny", [policy("shop", ANY)], 8080, "Ingress"),
    ("of another namespace", [policy("x", ANY)], 8080, ""),
    ("selects others", [policy("shop", {"podSelector": {"matchLabels": {"app": "x"}}})], 8080, ""),
    ("allow all", [policy("shop", ANY | {"ingress": [{}]})], 8080, ""),
    (
        "one of two policies allows",
        [policy("shop", ANY), policy("shop", ANY | {"ingress": [{"ports": [{"port": 8080}]}]})],
        8080,
        "",
    ),
    (
        "another port",
        [policy("shop", ANY | {"ingress": [{"ports": [{"port": 8080}]}]})],
        15008,
        "Ingress",
    ),
    (
        "a range",
        [policy("shop", ANY | {"ingress": [{"ports": [{"port": 8000, "endPort": 8100}]}]})],
        8080,
        "",
    ),
    (
        "a named port",
        [policy("shop", ANY | {"ingress": [{"ports": [{"port": "web"}]}]})],
        8080,
        "",
    ),
    (
        "UDP only",
        [policy("shop", ANY | {"ingress": [{"ports": [{"port": 8080, "protocol": "UDP"}]}]})],
        8080,
        "Ingress",
    ),
    (
        "pods of the same namespace only",
        [policy("shop", ANY | {"ingress": [{"from": [{"podSelector": {}}]}]})],
        8080,
        "Ingress",
    ),
    (
        "by namespace label",
        [
            policy(
                "shop",
                ANY
                | {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]}]},
            )
        ],
        8080,
        "",
    ),
    (
        "by address",
        [policy("shop", ANY | {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]})],
        8080,
        "",
    ),
    (
        "by address, but",
        [
            policy(
                "shop",
                ANY
                | {
                    "ingress": [
                        {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.1.0/24"]}}]}
                    ]
                },
            )
        ],
        8080,
        "Ingress",
    ),
    ("egress", [policy("web", ANY | {"policyTypes": ["Egress"]})], 8080, "Egress"),
    ("ingress of the client is no matter", [policy("web", ANY)], 8080, ""),
    (
        "egress to that namespace",
        [
            policy(
                "web",
                ANY
                | {
                    "egress": [
                        {
                            "to": [
                                {
                                    "namespaceSelector": {
                                        "matchLabels": {"kubernetes.io/metadata.name": "shop"}
                                    }
                                }
                            ]
                        }
                    ],
                    "policyTypes": ["Egress"],
                },
            )
        ],
        8080,
        "",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_blocked(row: tuple[str, list[NetworkPolicy], int, str]) -> None:
    _, policies, port, direction = row
    found = blocked(policies, CART, PAY, port, SPACES)
    assert found.direction == direction and bool(found) == bool(direction)


def test_an_unknown_client_is_given_the_benefit_of_the_doubt() -> None:
    only = policy("shop", ANY | {"ingress": [{"from": [{"podSelector": {}}]}]})
    assert not blocked([only], None, PAY, 8080, SPACES)
    assert blocked([policy("shop", ANY)], None, PAY, 8080, SPACES)
