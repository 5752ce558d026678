"""Which layout is this sync evidence in, and what does it say?"""

from datetime import datetime

from meshdoctor.mesh.xds import SyncTable
from meshdoctor.mesh.xds_json import is_json, parse_json, parse_yaml
from meshdoctor.mesh.xds_table import is_table, parse_table
from meshdoctor.ports import UnparsableError

_EMPTY = ("no proxies found", "no running istio pods")


def parse(text: str, now: datetime | None = None, istiod: str = "") -> SyncTable:
    """syncz JSON, `proxy-status -o json|yaml` or any of its tables.

    No text at all is a table without proxies (istioctl before 1.22 prints no header then).
    Raises UnparsableError when the text is none of these.
    """
    body = text.lstrip("\ufeff \t\r\n")
    if not body or body.lower().startswith(_EMPTY):
        return SyncTable()
    if is_json(body):
        return parse_json(body, istiod)
    if is_table(body):
        return parse_table(body, now)
    if "controlPlane:" in body and "genericXdsConfigs:" in body:
        return parse_yaml(body)
    raise UnparsableError("proxy-status", f"no known layout: {body.splitlines()[0][:80]}")
