"""What the differential run draws: the same for the same seed, and worth drawing."""

import json
from collections import Counter
from typing import Any

import pytest

from meshdoctor.mesh.jwt_tokens import parse
from meshdoctor.model.decode import convert
from meshdoctor.model.evidence import SetAside
from tests.lab.differential import authz_run, mtls_cases, policies, tokens
from tests.lab.differential.case import CLIENTS, JUDGES, ROOT, SPACES, TARGETS, Ask, identity
from tests.lab.differential.dice import Dice
from tests.lab.differential.rounds import filled

MANY = range(300)


@pytest.mark.parametrize("draw", [policies.draw, mtls_cases.draw])
def test_a_case_is_the_same_for_the_same_seed(draw: Any) -> None:
    # Signatures of tokens differ from run to run; nothing else may.
    one, two = draw(7, 5), draw(7, 5)
    assert one.objects == two.objects and one.space == two.space
    assert [(a.client, a.port, a.method) for a in one.asks] == [
        (a.client, a.port, a.method) for a in two.asks
    ]
    assert draw(8, 5).objects != one.objects


@pytest.mark.parametrize("draw", [policies.draw, mtls_cases.draw])
def test_objects_are_read_whole_and_stay_with_their_server(draw: Any) -> None:
    for index in MANY:
        case = draw(3, index)
        pool = JUDGES if draw is policies.draw else SPACES
        assert case.space == pool[index % len(pool)]
        for item in case.objects:
            item = filled(item, {f"{case.asks[0].client}": "10.0.0.1"})
            assert not isinstance(convert(item, "drawn"), SetAside)
            selector = item["spec"].get("selector", {}).get("matchLabels", {})
            if item["kind"] != "DestinationRule" and item["metadata"]["namespace"] == ROOT:
                # istiod ignores a PeerAuthentication with a selector there
                assert selector.get("dif") == case.space or item["kind"] == "PeerAuthentication"


def test_every_field_and_key_is_drawn() -> None:
    seen: Counter[str] = Counter()
    for index in MANY:
        for item in policies.draw(1, index).objects:
            for rule in item["spec"].get("rules", ()):
                for part in rule.get("from", ()):
                    seen.update(list(part["source"]))
                for part in rule.get("to", ()):
                    seen.update(list(part["operation"]))
                seen.update(one["key"].partition("[")[0] for one in rule.get("when", ()))
            seen[item["spec"].get("action", "none")] += 1
    for name in ("principals", "notNamespaces", "serviceAccounts", "trustDomains", "ipBlocks"):
        assert seen[name], name
    for name in ("remoteIpBlocks", "requestPrincipals", "hosts", "notPaths", "ports", "methods"):
        assert seen[name], name
    for name in ("source.ip", "destination.port", "connection.sni", "request.headers"):
        assert seen[name], name
    for name in ("request.auth.claims", "request.auth.audiences", "ALLOW", "DENY", "AUDIT"):
        assert seen[name], name


def test_a_token_says_what_was_drawn() -> None:
    said = {"iss": tokens.A, "sub": "user-1", "exp": tokens.FAR_FUTURE}
    read = parse(tokens.signed(said, tokens.A))
    assert read.claims == said and not read.error
    assert read.kid == json.loads(tokens.jwks(tokens.A))["keys"][0]["kid"]


def test_patterns_stay_near_their_value() -> None:
    drawn = {Dice("p", n).pattern("/orders/7", ("other",)) for n in MANY}
    assert {"/orders/7", "*", "other", "/ORDERS/7", "/orders/"} <= drawn
    assert any(one.endswith("*") and one != "*" for one in drawn)
    assert all("*" not in one.strip("*") for one in drawn)


def test_an_ask_names_its_server() -> None:
    ask = Ask(client=CLIENTS[0], space="dif-b", port=80)
    assert (ask.place, ask.authority, ask.target) == ("dif-b/server", "server.dif-b:80", 8080)
    assert Ask(client=CLIENTS[0], space="dif-bare", port=80).place == "dif-bare/nobody"
    assert Ask(client=CLIENTS[0], space="dif-b", port=8090, direct=True).target == TARGETS[7000]
    assert identity("dif-bare/nobody") == ""


def test_a_case_is_always_in_the_same_round() -> None:
    alone = dict(authz_run.rounds(2, [30]))
    whole = dict(authz_run.rounds(2, range(60)))
    assert [case.index for case in alone[2]] == [30]
    assert 30 in [case.index for case in whole[2]]
