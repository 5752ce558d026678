"""What does a `proxy-status` table say?

Every layout from istioctl 1.9 to 1.32-dev (istioctl/pkg/writer/pilot/status.go): with and without
CLUSTER and ECDS, `NOT SENT` and `NOT_SENT`, ages, the short table of 1.27 which shows no states,
and `-v 1` with any set of types. Columns are found by header name, cells by two or more spaces.
"""

from datetime import datetime, timedelta

from meshdoctor.mesh.text import strip_ansi
from meshdoctor.mesh.xds import ProxySync, State, SyncTable, TypeSync, split_id
from meshdoctor.model.patterns import pattern

_CELL = pattern(r"\S+(?: \S+)*")
_STATE = pattern(r"^(SYNCED|STALE|NOT[ _]SENT|ERROR|IGNORED|UNKNOWN)(?: \((.*)\))?$")
_AGE = pattern(r"(\d+)(ms|y|d|h|m|s)")
_SECONDS = {"y": 31536000, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0}
_SUBSCRIBED = "SUBSCRIBED TYPES"
_PLAIN = frozenset({"NAME", "CLUSTER", "ISTIOD", "VERSION", _SUBSCRIBED})


def is_table(text: str) -> bool:
    """Whether the text holds a `proxy-status` header."""
    return any(_is_header(line) for line in text.splitlines())


def parse_table(text: str, now: datetime | None = None) -> SyncTable:
    """One or several concatenated tables; lines that are no rows are skipped.

    Ages become times of sending when `now` is given.

    >>> table = parse_table('''
    ... NAME          CLUSTER      CDS              LDS             ISTIOD       VERSION
    ... pay-1.shop    cluster1     SYNCED (4m)      ERROR (33s)     istiod-1     1.24.0
    ... ''')
    >>> [(t.type, t.state.value) for t in table.proxies["pay-1.shop"].types]
    [('CDS', 'SYNCED'), ('LDS', 'ERROR')]
    >>> parse_table('''
    ... NAME          CLUSTER      ISTIOD       VERSION     SUBSCRIBED TYPES
    ... pay-1.shop    cluster1     istiod-1     1.29.0      4 (CDS,LDS,EDS,RDS)
    ... ''').shows_state
    False
    """
    header: list[tuple[int, str]] = []
    names: list[str] = []
    proxies: dict[str, ProxySync] = {}
    istiods: dict[str, None] = {}
    shows = False
    known: Known = {}
    for line in strip_ansi(text).splitlines():
        if "NAME" in line and _is_header(line):
            header = [(m.start(), m.group()) for m in _CELL.finditer(_wide(line))]
            names = [name for _, name in header]
            shows = shows or any(name not in _PLAIN for name in names)
            continue
        texts = _CELL.findall(line)
        cells = dict(zip(names, texts, strict=False))
        if len(texts) != len(names):
            cells = _placed(line, header)
        if len(cells) < 2 or "." not in cells.get("NAME", ""):
            continue
        row = _row(cells, now, known)
        proxies[row.id] = row
        if row.istiod:
            istiods[row.istiod] = None
    return SyncTable(
        proxies=proxies, istiods=tuple(istiods), shows_state=shows if header else not proxies
    )


def _is_header(line: str) -> bool:
    words = line.split()
    return len(words) > 2 and words[0] == "NAME" and "ISTIOD" in words


def _wide(line: str) -> str:
    """Headers may stand one space apart in text that was pasted; the one two-word name stays."""
    if "  " in line:
        return line
    return line.replace(_SUBSCRIBED, "\0").replace(" ", "  ").replace("\0", _SUBSCRIBED)


def _placed(line: str, header: list[tuple[int, str]]) -> dict[str, str]:
    """Cells by header name where one is left empty: by where they begin."""
    cells: dict[str, str] = {}
    for found in _CELL.finditer(line):
        before = [name for at, name in header if at <= found.start() + 1]
        if before:
            cells.setdefault(before[-1], found.group())
    return cells


Known = dict[tuple[str, str], TypeSync | None]
"""What (type, text of the cell) says: the proxies of a mesh share a few such pairs."""


def _row(cells: dict[str, str], now: datetime | None, known: Known) -> ProxySync:
    pod, namespace = split_id(cells["NAME"])
    types = []
    for cell in cells.items():
        if cell[0] not in _PLAIN:
            if cell not in known:
                known[cell] = _type(*cell, now)
            types.append(known[cell])
    _, _, listed = cells.get(_SUBSCRIBED, "").partition("(")
    return ProxySync(
        pod=pod,
        namespace=namespace,
        cluster=cells.get("CLUSTER", ""),
        istiod=cells.get("ISTIOD", ""),
        version=cells.get("VERSION", "").rstrip("*"),
        types=tuple([t for t in types if t is not None]),
        subscribed=_listed(listed) if listed else (),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(t.strip() for t in text.rstrip(")").split(",") if t.strip())


def _type(name: str, text: str, now: datetime | None) -> TypeSync | None:
    found = _STATE.match(text)
    if found is None:
        return None
    note = found[2] or ""
    age = parse_age(note)
    return TypeSync(
        type=name,
        state=State(found[1].replace("_", " ")),
        sent=now - age if now is not None and age is not None else None,
        never_acknowledged=note == "Never Acknowledged",
    )


def parse_age(text: str) -> timedelta | None:
    """Kubernetes' short durations; None when the text is none.

    >>> parse_age("4m12s"), parse_age("3d4h"), parse_age("Never Acknowledged")
    (datetime.timedelta(seconds=252), datetime.timedelta(days=3, seconds=14400), None)
    """
    parts = _AGE.findall(text)
    if not parts or "".join(n + u for n, u in parts) != text:
        return None
    return timedelta(seconds=sum(int(n[:9]) * _SECONDS[u] for n, u in parts))
