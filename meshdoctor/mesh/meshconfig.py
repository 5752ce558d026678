"""What is the mesh configuration of a revision?

The text of ConfigMap `istio[-REV]`, key `mesh`, merged over Istio's defaults
(pkg/config/mesh/mesh.go DefaultMeshConfig). A key `mesh` that does not parse is an error to
istiod too: it keeps the former one, so it is `UnparsableError` here, never the defaults.
"""

import msgspec
import yaml

from meshdoctor.model.decode import without_nulls
from meshdoctor.model.istio import MeshConfig
from meshdoctor.model.kubernetes import ConfigMap
from meshdoctor.model.ready import ready
from meshdoctor.ports import UnparsableError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def config_map_name(revision: str) -> str:
    """The ConfigMap that holds a revision's mesh config."""
    return "istio" if revision in ("", "default") else f"istio-{revision}"


def parse(config_map: ConfigMap | None) -> MeshConfig:
    """The effective mesh config; no ConfigMap or no key means Istio's defaults.

    Raises UnparsableError when the text is no valid mesh config.
    """
    text = config_map.data.get("mesh", "") if config_map is not None else ""
    try:
        data = without_nulls(yaml.load(text, Loader=_LOADER) or {})  # noqa: S506
        return msgspec.convert(data, ready(MeshConfig), strict=False)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        where = config_map.ref if config_map is not None else "mesh config"
        raise UnparsableError(f"mesh config in {where}", str(error).splitlines()[0]) from error
