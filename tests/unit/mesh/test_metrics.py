"""Prometheus text, histogram quantiles, and what istiod's metrics say (trap T46)."""

import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh import metrics
from meshdoctor.mesh.istiod_metrics import delivery, seconds, slowest
from meshdoctor.mesh.metrics import Histogram, parse

PAGE = """\
# HELP pilot_xds Number of endpoints connected to this pilot using XDS.
# TYPE pilot_xds gauge
pilot_xds{version="1.22.1"} 4
pilot_total_xds_rejects{type="type.googleapis.com/envoy.config.listener.v3.Listener"} 47
pilot_xds_lds_reject{err="Internal",node="shell-1.default"} 1
pilot_conflict_inbound_listener{pod="a"} 0
pilot_conflict_outbound_listener_tcp_over_current_tcp{key="0.0.0.0_5432"} 2
pilot_proxy_convergence_time_bucket{le="0.1"} 90
pilot_proxy_convergence_time_bucket{le="0.5"} 95
pilot_proxy_convergence_time_bucket{le="30"} 99
pilot_proxy_convergence_time_bucket{le="+Inf"} 100
pilot_proxy_convergence_time_sum 55.5
pilot_proxy_convergence_time_count 100
pilot_push_triggers{type="config"} 3
pilot_push_triggers{type="endpoint"} 912
odd line
value{a="x"} NaN
"""


def test_istiods_page() -> None:
    one = delivery("istiod-1", parse(PAGE))
    assert (one.proxies, one.rejects, one.conflicts) == (4, {"LDS": 47}, 2)
    assert one.convergence.p50 == pytest.approx(0.0556, abs=1e-3)
    assert one.convergence.p90 == 0.1
    assert one.convergence.p99 == 30
    assert list(one.triggers) == ["endpoint", "config"]


def test_without_buckets_only_the_mean_is_known() -> None:
    page = parse("pilot_proxy_convergence_time_sum 1.92\npilot_proxy_convergence_time_count 611\n")
    found = delivery("i", page).convergence
    assert found.p99 is None and found.mean == pytest.approx(1.92 / 611)
    assert seconds(found) == found.mean


def test_beyond_the_last_bound_is_that_bound() -> None:
    h = Histogram(bounds=(10, 30, math.inf), counts=(0, 1, 100), sum=9e3, count=100)
    assert h.quantile(0.99) == 30 and h.above(30) == pytest.approx(0.99) and h.above(5) is None


def test_a_page_without_the_inf_bucket_gives_no_quantile() -> None:
    h = Histogram(bounds=(0.1, 0.5), counts=(8, 10), sum=1, count=10)
    assert h.quantile(0.5) is None


def test_absent_is_none_not_zero() -> None:
    assert parse(PAGE).total("pilot_eds_no_instances") is None
    assert parse("").histogram("pilot_proxy_convergence_time") is None


def test_gauges_stand_in_where_the_counter_is_missing() -> None:
    page = parse('pilot_xds_rds_reject{err="x",node="a.b"} 1\n')
    assert delivery("i", page).rejects == {"RDS": 1}


def test_labels_with_escapes_braces_and_timestamps() -> None:
    page = parse('a{x="q\\"}{,=",y="n\\n\\\\",} 1.5e3 1690000000000\n')
    assert page.samples["a"][0].labels == {"x": 'q"}{,=', "y": "n\n\\"}
    assert page.total("a") == 1500


def test_the_slowest_istiod() -> None:
    pages = {"quick": "0.5", "slow": "20"}
    found = slowest(
        delivery(
            name,
            parse(
                f'pilot_proxy_convergence_time_bucket{{le="{le}"}} 10\n'
                'pilot_proxy_convergence_time_bucket{le="+Inf"} 10\n'
            ),
        )
        for name, le in pages.items()
    )
    assert found is not None and found.istiod == "slow"
    assert slowest([]) is None


@given(st.lists(st.integers(0, 50), min_size=3, max_size=8), st.floats(0.01, 0.99))
def test_quantiles_grow_and_stay_inside_the_bounds(steps: list[int], q: float) -> None:
    counts, total = [], 0.0
    for step in steps:
        total += step
        counts.append(total)
    bounds = tuple([float(n + 1) for n in range(len(steps) - 1)] + [math.inf])
    h = Histogram(bounds=bounds, counts=tuple(counts), sum=0, count=total)
    low, high = h.quantile(q), h.quantile(min(q + 0.005, 1))
    if total == 0:
        assert low is None
    else:
        assert low is not None and high is not None and 0 <= low <= high <= bounds[-2]


def test_doctests() -> None:
    assert doctest.testmod(metrics).failed == 0
