"""What a VirtualService does to requests on purpose."""

import pytest
import yaml

from meshdoctor.mesh.faults import injected
from meshdoctor.model.istio import VirtualService
from tests.unit.mesh.objects import one

ABORT = "{abort: {httpStatus: 503, percentage: {value: 100}}}"
TO = "route: [{destination: {host: pay}}]"


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        (f"[{{{TO}}}]", None),
        (f"[{{{TO}, fault: {ABORT}}}]", (1, "ends 100 % of requests with 503", True)),
        (
            f"[{{{TO}, fault: {{abort: {{httpStatus: 500}}}}}}]",
            (1, "ends 100 % of requests with 500", True),
        ),
        (
            f"[{{{TO}, fault: {{abort: {{httpStatus: 503, percentage: {{value: 0.5}}}}}}}}]",
            (1, "ends 0.5 % of requests with 503", False),
        ),
        (f"[{{{TO}, fault: {{abort: {{httpStatus: 503, percentage: {{value: 0}}}}}}}}]", None),
        (
            f"[{{{TO}, fault: {{abort: {{grpcStatus: UNAVAILABLE}}}}}}]",
            (1, "ends 100 % of requests with UNAVAILABLE", True),
        ),
        (
            f"[{{{TO}, fault: {{delay: {{fixedDelay: 5s, percentage: {{value: 10}}}}}}}}]",
            (1, "delays 10 % of requests by 5s", False),
        ),
        (
            f"[{{{TO}, match: [{{headers: {{x-test: {{exact: a}}}}}}], fault: {ABORT}}}, {{{TO}}}]",
            (1, "ends 100 % of requests with 503", False),  # a test's alone
        ),
        (
            f"[{{{TO}, match: [{{uri: {{prefix: /a}}}}], fault: {ABORT}}}, {{{TO}}}]",
            (1, "ends 100 % of requests with 503", True),
        ),
        (
            f"[{{{TO}, match: [{{sourceLabels: {{a: b}}}}], fault: {ABORT}}},"
            f" {{{TO}, fault: {ABORT}}}]",
            (2, "ends 100 % of requests with 503", True),
        ),
    ],
)
def test_what_is_done_on_purpose(rules: str, found: tuple[int, str, bool] | None) -> None:
    fault = injected(_route(rules))
    assert (fault and (fault.rule, fault.said, fault.every)) == found


@pytest.mark.parametrize(
    ("matches", "aimed"),
    [
        ("[]", False),
        ("[{uri: {prefix: /a}}]", False),
        ("[{headers: {x-test: {exact: a}}}]", True),
        ("[{queryParams: {test: {exact: a}}}]", True),
        ("[{sourceNamespace: tests}]", True),
        ("[{headers: {x-test: {exact: a}}}, {uri: {prefix: /a}}]", False),  # one is for all
    ],
)
def test_whom_a_fault_is_aimed_at(matches: str, aimed: bool) -> None:
    fault = injected(_route(f"[{{{TO}, match: {matches}, fault: {ABORT}}}]"))
    assert fault is not None
    assert fault.aimed is aimed


def test_a_fault_for_everybody_is_told_before_one_that_is_aimed() -> None:
    delay = "{delay: {fixedDelay: 5s, percentage: {value: 10}}}"
    aimed = f"{TO}, match: [{{headers: {{x-test: {{exact: a}}}}}}], fault: {ABORT}"
    fault = injected(_route(f"[{{{aimed}}}, {{{TO}, fault: {delay}}}]"))
    assert fault is not None
    assert (fault.rule, fault.aimed) == (2, False)


def _route(rules: str) -> VirtualService:
    text = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "pay", "namespace": "shop"},
        "spec": {"hosts": ["pay"], "http": yaml.safe_load(rules)},
    }
    return one(VirtualService, yaml.safe_dump(text))
