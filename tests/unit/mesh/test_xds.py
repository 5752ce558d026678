"""Every layout of proxy-status and syncz, merged over istiods (traps T45, T47)."""

import doctest
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh import xds, xds_json, xds_table
from meshdoctor.mesh.xds import State, derive, merge, wrong_types
from meshdoctor.mesh.xds_status import parse
from meshdoctor.ports import UnparsableError

NOW = datetime(2026, 8, 22, 3, 12, tzinfo=UTC)
L1 = """\
NAME       CLUSTER      CDS                            LDS          EDS                            RDS          ECDS         ISTIOD      VERSION
p1.shop    cluster1     STALE                          SYNCED       SYNCED                         NOT SENT     NOT SENT     istiod1     1.1
p3.shop    cluster3     STALE (Never Acknowledged)     NOT SENT     STALE (Never Acknowledged)     SYNCED       NOT SENT     istiod3     1.1*
p4.shop    cluster4     IGNORED                        IGNORED      IGNORED                        IGNORED      IGNORED      istiod4     1.1
"""  # noqa: E501
L2 = """\
NAME       CLUSTER      CDS       LDS        EDS        RDS          ECDS         ISTIOD      VERSION
p1.shop    cluster1     STALE     SYNCED     SYNCED     NOT_SENT     NOT_SENT     istiod1     1.20
"""  # noqa: E501
L4 = """\
NAME       CLUSTER      CDS                LDS             EDS         RDS          ECDS        ISTIOD      VERSION
p1.shop    cluster1     SYNCED (4m12s)     ERROR (33s)     STALE (2s)  NOT SENT     IGNORED     istiod1     1.24
"""  # noqa: E501
L5 = """\
NAME       CLUSTER      ISTIOD      VERSION     SUBSCRIBED TYPES
p1.shop    cluster1     istiod1     1.20        5 (CDS,LDS,EDS,RDS,ECDS)
p4.shop    cluster4     istiod4     1.20        0
"""
L6 = """\
NAME       CLUSTER      CDS       ECDS       EDS        LDS        RDS          ISTIOD      VERSION
p1.shop    cluster1     STALE     SYNCED     SYNCED     SYNCED     NOT SENT     istiod1     1.20
"""
OLD = """\
NAME       CDS        LDS        EDS        RDS          ISTIOD      VERSION
p1.shop    SYNCED     STALE      SYNCED     NOT SENT     istiod1     1.9.4
"""


@pytest.mark.parametrize(
    ("text", "types", "version"),
    [
        (L1, "CDS STALE, LDS SYNCED, EDS SYNCED, RDS NOT SENT, ECDS NOT SENT", "1.1"),
        (L2, "CDS STALE, LDS SYNCED, EDS SYNCED, RDS NOT SENT, ECDS NOT SENT", "1.20"),
        (L4, "CDS SYNCED, LDS ERROR, EDS STALE, RDS NOT SENT, ECDS IGNORED", "1.24"),
        (L5, "", "1.20"),
        (L6, "CDS STALE, ECDS SYNCED, EDS SYNCED, LDS SYNCED, RDS NOT SENT", "1.20"),
        (OLD, "CDS SYNCED, LDS STALE, EDS SYNCED, RDS NOT SENT", "1.9.4"),
    ],
    ids=["L1", "L2", "L4", "L5", "L6", "1.9"],
)
def test_table_layouts(text: str, types: str, version: str) -> None:
    row = parse(text, NOW).proxies["p1.shop"]
    assert ", ".join(f"{t.type} {t.state}" for t in row.types) == types
    assert (row.pod, row.namespace, row.istiod, row.version) == ("p1", "shop", "istiod1", version)


def test_never_acknowledged_and_envoy_version_fallback() -> None:
    row = parse(L1).proxies["p3.shop"]
    cds = row.of("CDS")
    assert cds is not None and cds.never_acknowledged and row.version == "1.1"


def test_ages_become_times() -> None:
    cds = parse(L4, NOW).proxies["p1.shop"].of("CDS")
    assert cds is not None and cds.sent == NOW - timedelta(minutes=4, seconds=12)
    without_now = parse(L4).proxies["p1.shop"].of("CDS")
    assert without_now is not None and without_now.sent is None


def test_proxies_that_owe_an_answer() -> None:
    text = """\
NAME       CLUSTER     CDS              LDS             EDS         ISTIOD      VERSION
p1.shop    cluster1    STALE (4m)       STALE (33s)     SYNCED      istiod1     1.24.0
p2.shop    cluster1    SYNCED (4m)      STALE (3s)      SYNCED      istiod1     1.24.0
p3.shop    cluster1    STALE            ERROR (9s)      SYNCED      istiod1     1.24.0
p4.shop    cluster1    SYNCED (4m)      SYNCED (3s)     SYNCED      istiod1     1.24.0
"""
    table = parse(text, NOW)
    assert xds.unanswered(table) == {
        "p1.shop": NOW - timedelta(minutes=4),
        "p2.shop": NOW - timedelta(seconds=3),
    }
    assert list(xds.out_of_step(table, NOW)) == ["p1.shop", "p3.shop"], "p2's is on its way"


def test_the_short_table_shows_no_state() -> None:
    table = parse(L5)
    assert not table.shows_state
    assert table.proxies["p1.shop"].subscribed == ("CDS", "LDS", "EDS", "RDS", "ECDS")
    assert table.proxies["p4.shop"].subscribed == ()


def test_cells_that_do_not_stand_under_their_header() -> None:
    text = L6.replace("     NOT SENT     istiod1     1.20", "   NOT SENT  istiod1   1.20")
    assert parse(text).proxies["p1.shop"].istiod == "istiod1"
    blank = L6.replace("istiod1     1.20", "istiod1")
    assert parse(blank).proxies["p1.shop"].version == ""
    no_cluster = L6.replace("p1.shop    cluster1 ", "p1.shop             ")
    row = parse(no_cluster).proxies["p1.shop"]
    assert (row.cluster, row.istiod) == ("", "istiod1")


SYNCZ_OLD = [
    {
        "cluster_id": "c",
        "proxy": "pay-1.shop",
        "proxy_type": "sidecar",
        "istio_version": "1.20.3",
        "cluster_sent": "a",
        "cluster_acked": "a",
        "listener_sent": "b",
        "endpoint_sent": "d",
        "endpoint_acked": "c",
    }
]
SYNCZ_NEW = [
    {
        "proxy": "pay-1.shop",
        "istio_version": "1.30.0",
        "resources": {
            "type.googleapis.com/envoy.config.cluster.v3.Cluster": {
                "sent": "a",
                "acked": "a",
                "sentTime": "2026-08-22T03:11:59.123456789Z",
            },
            "type.googleapis.com/envoy.config.listener.v3.Listener": {
                "sent": "b",
                "acked": "a",
                "sentTime": "2026-08-22T03:11:00Z",
                "lastError": "Error adding/updating listener(s) 0.0.0.0_15021: duplicate\x1b[31m",
            },
        },
    }
]


def test_syncz_before_and_after_1_23() -> None:
    old = parse(json.dumps(SYNCZ_OLD)).proxies["pay-1.shop"]
    assert [(t.type, t.state, t.never_acknowledged) for t in old.types] == [
        ("CDS", State.SYNCED, False),
        ("LDS", State.STALE, True),
        ("EDS", State.STALE, False),
        ("RDS", State.NOT_SENT, False),
        ("ECDS", State.NOT_SENT, False),
    ]
    new = parse(json.dumps(SYNCZ_NEW)).proxies["pay-1.shop"]
    lds = new.of("LDS")
    assert lds is not None and lds.state is State.ERROR and "\x1b" not in lds.error
    assert [t.state for t in new.types if t.type == "RDS"] == [State.IGNORED]


def _response(istiod: str, proxy: str, status: str, details: str = "") -> str:
    config: dict[str, object] = {
        "typeUrl": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "configStatus": status,
    }
    if details:
        config["errorState"] = {"details": details}
    return json.dumps(
        {
            "versionInfo": "1.1",
            "resources": [
                {
                    "@type": "type.googleapis.com/envoy.service.status.v3.ClientConfig",
                    "node": {
                        "id": proxy,
                        "metadata": {"CLUSTER_ID": "c1", "ISTIO_VERSION": "1.30"},
                    },
                    "genericXdsConfigs": [config],
                }
            ],
            "controlPlane": {"identifier": json.dumps({"Component": "istiod", "ID": istiod})},
        },
        indent=2,
    )


def test_concatenated_discovery_responses() -> None:
    text = _response("istiod1", "a.shop", "STALE") + "\n" + _response("istiod2", "b.shop", "SYNCED")
    table = parse(text)
    assert table.istiods == ("istiod1", "istiod2")
    assert {k: v.istiod for k, v in table.proxies.items()} == {
        "a.shop": "istiod1",
        "b.shop": "istiod2",
    }
    refused = parse(_response("istiod1", "a.shop", "STALE", "bad listener")).proxies["a.shop"]
    assert (refused.types[0].state, refused.types[0].error) == (State.ERROR, "bad listener")


def test_debug_of_all_istiods_and_comment_lines() -> None:
    by_istiod = parse(json.dumps({"istiod-1": SYNCZ_OLD, "istiod-2": "timeout"}))
    assert by_istiod.proxies["pay-1.shop"].istiod == "istiod-1"
    assert by_istiod.problems == ("istiod-2 said: timeout",)
    named = parse("# istiod-7\n" + json.dumps(SYNCZ_OLD) + "\n# istiod-8\n[]\n")
    assert named.istiods == ("istiod-7", "istiod-8")
    broken = parse("# istiod-7\n" + json.dumps(SYNCZ_OLD) + "\n# istiod-8\n{broken\n")
    assert "pay-1.shop" in broken.proxies and "istiod-8" in broken.problems[0]


def test_one_broken_record_does_not_blind_the_rest() -> None:
    table = parse(json.dumps([*SYNCZ_OLD, {"proxy": 7}, {}]))
    assert set(table.proxies) == {"pay-1.shop"} and len(table.problems) == 2


def test_a_proxy_that_moved_is_taken_from_where_it_is_now() -> None:
    left = parse(json.dumps(SYNCZ_NEW), istiod="istiod-1")
    moved = json.loads(json.dumps(SYNCZ_NEW))
    for one in moved[0]["resources"].values():
        one.update(acked=one["sent"], sentTime="2026-08-22T03:12:00Z", lastError="")
    table = merge([left, parse(json.dumps(moved), istiod="istiod-2")])
    row = table.proxies["pay-1.shop"]
    assert (row.istiod, row.also_on) == ("istiod-2", ("istiod-1",))
    assert not wrong_types(row, NOW)


@pytest.mark.parametrize(
    ("version", "types", "wrong"),
    [
        ("1.22.1", {"CDS": "SYNCED", "LDS": "SYNCED", "EDS": "SYNCED", "RDS": "STALE"}, []),
        ("1.22.3", {"CDS": "SYNCED", "RDS": "STALE (Never Acknowledged)"}, []),
        ("1.22.4", {"CDS": "SYNCED", "RDS": "STALE"}, ["RDS"]),
        ("1.21.0", {"CDS": "SYNCED", "RDS": "STALE"}, ["RDS"]),
        ("1.22.1", {"CDS": "SYNCED", "LDS": "STALE", "RDS": "STALE"}, ["LDS", "RDS"]),
        ("1.22.1", {"CDS": "SYNCED", "RDS": "ERROR"}, ["RDS"]),
        ("1.24.0", {"EDS": "NOT SENT", "RDS": "NOT SENT", "ECDS": "NOT SENT"}, []),
        ("1.24.0", {"CDS": "NOT SENT", "LDS": "NOT SENT"}, ["CDS", "LDS"]),
        ("1.24.0", {"CDS": "IGNORED", "LDS": "IGNORED"}, []),
        ("1.24.0", {"CDS": "STALE (2s)"}, []),
        ("1.24.0", {"CDS": "STALE (12s)"}, ["CDS"]),
        ("1.24.0", {"CDS": "ERROR (2s)"}, ["CDS"]),
    ],
)
def test_what_counts_as_wrong(version: str, types: dict[str, str], wrong: list[str]) -> None:
    header = "     ".join(["NAME", "CLUSTER", *types, "ISTIOD", "VERSION"])
    row = "     ".join(["a.shop", "c", *types.values(), "istiod1", version])
    proxy = parse(f"{header}\n{row}\n", NOW).proxies["a.shop"]
    assert [t.type for t in wrong_types(proxy, NOW)] == wrong


@pytest.mark.parametrize("text", ["", "No proxies found", "no running Istio pods in istio-system"])
def test_no_proxies(text: str) -> None:
    assert parse(text).proxies == {}


def test_other_text_is_no_table() -> None:
    with pytest.raises(UnparsableError):
        parse("Error: unable to find any Istiod instances")


def test_pod_names_with_dots() -> None:
    row = parse(L6.replace("p1.shop", "web.v1.shop")).proxies["web.v1.shop"]
    assert (row.pod, row.namespace) == ("web.v1", "shop")


@given(st.text("ab", max_size=2), st.text("ab", max_size=2), st.sampled_from(["", "boom"]))
def test_derived_states(sent: str, acked: str, error: str) -> None:
    state, never = derive(sent, acked, error)
    assert (state is State.ERROR) == bool(error)
    if state is State.SYNCED:
        assert sent == acked and sent and not never


@given(st.permutations(range(3)))
def test_merging_is_independent_of_order(order: list[int]) -> None:
    tables = [parse(json.dumps(SYNCZ_NEW), istiod=f"istiod-{n}") for n in range(3)]
    row = merge(tables[n] for n in order).proxies["pay-1.shop"]
    assert row.istiod == "istiod-2" and set(row.also_on) == {"istiod-0", "istiod-1"}


def test_two_thousand_proxies_are_quick() -> None:
    record = SYNCZ_NEW[0]
    body = json.dumps([{**record, "proxy": f"pod-{n}.ns-{n % 100}"} for n in range(2000)])
    start = time.perf_counter()
    table = merge([parse(body, istiod="istiod-1"), parse("[]", istiod="istiod-2")])
    wrong = [p for p in table.proxies.values() if wrong_types(p, NOW)]
    assert len(wrong) == 2000 and time.perf_counter() - start < 2


def test_doctests() -> None:
    for module in (xds, xds_table, xds_json):
        assert doctest.testmod(module).failed == 0


def test_records_are_read_one_by_one_as_all_at_once() -> None:
    good = {
        "proxy": "web-1.shop",
        "istio_version": "1.27.0",
        "resources": {
            "type.googleapis.com/envoy.config.cluster.v3.Cluster": {
                "sent": "2026-11-24T20:15:02Z/43a3",
                "acked": "2026-11-24T20:15:02Z/43a3",
                "sent_time": "2026-11-24T20:15:03Z",
            }
        },
    }
    answers = {
        "istiod-1": [good, {"proxy": 7}, {**good, "proxy": "cart-1.shop", "resources": None}],
        "istiod-2": "unreachable: no answer",
        "istiod-3": [],
        "istiod-4": [{"resources": [], "controlPlane": {"identifier": "istiod-4"}}],
    }
    text = json.dumps(answers)
    read = xds_json.parse_json(text)
    assert set(read.proxies) == {"web-1.shop", "cart-1.shop"}
    assert len(read.problems) == 2
    commented = xds_json.parse_json(f"# all\n{text}")  # a comment goes the way of dictionaries
    assert read == commented
