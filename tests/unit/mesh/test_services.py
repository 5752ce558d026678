"""Which pods stand behind a service, looked up for many services at once?"""

from hypothesis import given
from hypothesis import strategies as st

from meshdoctor.mesh.endpoints import by_service, slices_of
from meshdoctor.mesh.services import PodsByLabels, selected_pods
from meshdoctor.model.kubernetes import EndpointSlice, Meta, Pod, PodStatus, Service, ServiceSpec

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "1", "2"]))
SPACES = st.sampled_from(["shop", "other"])
PODS = st.builds(
    lambda space, labels, phase: Pod(
        metadata=Meta(namespace=space, labels=labels), status=PodStatus(phase=phase)
    ),
    SPACES,
    LABELS,
    st.sampled_from(["Running", "Pending", "Succeeded", "Failed", ""]),
)
SERVICES = st.builds(
    lambda space, selector: Service(
        metadata=Meta(namespace=space), spec=ServiceSpec(selector=selector)
    ),
    SPACES,
    LABELS,
)


@given(st.lists(PODS, max_size=12), st.lists(SERVICES, max_size=6))
def test_pods_sorted_out_once_are_those_that_selectors_select(
    pods: list[Pod], services: list[Service]
) -> None:
    index = PodsByLabels(pods, "shop")
    for service in services:
        expected = selected_pods(service, pods) if service.namespace == "shop" else ()
        assert index.of(service) == expected


@given(st.lists(st.sampled_from(["pay", "cart", ""]), max_size=8))
def test_slices_by_service_are_those_of_the_service(owners: list[str]) -> None:
    slices = [
        EndpointSlice(
            metadata=Meta(
                name=f"s{number}",
                namespace="shop",
                labels={"kubernetes.io/service-name": owner} if owner else {},
            )
        )
        for number, owner in enumerate(owners)
    ]
    index = by_service(slices)
    for name in ("pay", "cart", "gone"):
        service = Service(metadata=Meta(name=name, namespace="shop"))
        assert index.get(name, ()) == slices_of(service, slices)
