"""Which probes are there? One sorted tuple, registered by hand."""

from meshdoctor.probes.view import Probe

PROBES: tuple[Probe, ...] = ()

BY_NAME: dict[str, Probe] = {probe.name: probe for probe in PROBES}
