"""What would istiod's sync page say if the proxies of the bench's pods were there?

No proxy runs in those pods. This program stands beside the real istiod, in its network namespace:
it passes every page on, and adds to /debug/syncz a row for each pod of the bench, copied from a
row of a real proxy that is in sync. kwok's port-forward to istiod leads here while the bench runs.
"""

from __future__ import annotations

import http.server
import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qs

from tests.lab import layout, netns, processes
from tests.lab.api import Api, Object
from tests.lab.prove import pod_of

PORT = 15914
ISTIOD = "http://127.0.0.1:15014"
NAMES = layout.STATE / "syncpage.json"


class Page(http.server.BaseHTTPRequestHandler):
    """Passes istiod's pages on."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One page; the sync page with the bench's rows."""
        path, _, query = self.path.partition("?")
        sync = path == "/debug/syncz"
        try:
            with urllib.request.urlopen(
                ISTIOD + (path if sync else self.path), timeout=20
            ) as reply:
                body, kind = reply.read(), reply.headers.get("Content-Type", "text/plain")
        except OSError as error:
            self.send_error(502, str(error))
            return
        if sync:
            asked = parse_qs(query).get("namespace", [""])[0]
            body = with_rows(json.loads(body), json.loads(NAMES.read_text()), asked)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Says nothing."""


def with_rows(page: list[Object], names: Sequence[str], namespace: str) -> bytes:
    """The page with a row for each of these proxies, like that of one that is in sync; of one
    namespace only where it is given, as istiod's Syncz does."""
    like = next(row for row in page if row.get("proxy", "").startswith("catalog-"))
    rows = [*page, *({**like, "proxy": name} for name in names)]
    kept = [row for row in rows if not namespace or row["proxy"].endswith(f".{namespace}")]
    return json.dumps(kept).encode()


@contextmanager
def told(api: Api, names: Sequence[str]) -> Iterator[None]:
    """While it lasts, istiod's sync page names these proxies (`pod.namespace`) too."""
    NAMES.write_text(json.dumps(names))
    meta = pod_of(api, "istio-system/istiod")["metadata"]
    path = (
        f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{meta['namespace']}/portforwards/{meta['name']}"
    )
    before = api.get(path)["spec"]["forwards"]
    place = layout.pod_namespace(meta["namespace"], meta["name"])
    processes.start(
        "syncpage",
        netns.inside(place, [sys.executable, "-m", "tests.lab.syncpage"]),
        cwd=layout.CHECKOUT,
        env={"PYTHONPATH": str(layout.CHECKOUT), "MESHDOCTOR_LAB_NAME": layout.CONTROL},
    )
    there = json.dumps(before).replace("TCP:127.0.0.1:15014", f"TCP:127.0.0.1:{PORT}")
    api.merge(path, {"spec": {"forwards": json.loads(there)}})
    try:
        yield
    finally:
        api.merge(path, {"spec": {"forwards": before}})
        processes.stop("syncpage")
        NAMES.unlink(missing_ok=True)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Page).serve_forever()
