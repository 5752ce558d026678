"""Which secrets does an Envoy still wait for?

Table and JSON of `proxy-config secret`: STATUS WARMING, or the list `dynamicWarmingSecrets`
(`dynamic_warming_secrets` in Envoy's own dump).
"""

import json

from meshdoctor.mesh.text import strip_ansi


def warming_secrets(text: str) -> tuple[str, ...]:
    """Their names, sorted; empty when all are active.

    >>> warming_secrets('''RESOURCE NAME     TYPE     STATUS     VALID CERT     SERIAL NUMBER
    ... default                    WARMING    false
    ... ROOTCA            CA       ACTIVE     true           1b
    ... ''')
    ('default',)
    """
    body = strip_ansi(text).strip()
    if body.startswith("{"):
        try:
            data = json.loads(body)
        except (json.JSONDecodeError, RecursionError):
            return ()
        found = data.get("dynamicWarmingSecrets") or data.get("dynamic_warming_secrets") or []
        names = {str(s.get("name", "?")) for s in found if isinstance(s, dict)}
    else:
        rows = (line.split() for line in body.splitlines())
        names = {row[0] for row in rows if len(row) > 1 and "WARMING" in row[1:]}
    return tuple(sorted(names))
