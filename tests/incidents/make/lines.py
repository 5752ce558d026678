"""How does Envoy log a request or a refused connection? Istio's default text format."""

import hashlib

from tests.incidents.make.world import Pod, at


def request(
    minutes: float,
    *,
    client: Pod,
    server: Pod | None,
    host: str,
    port: int,
    side: str,
    path: str = "/",
    method: str = "GET",
    code: int = 200,
    flags: str = "-",
    details: str = "via_upstream",
    termination: str = "-",
    transport: str = "-",
    target: int = 8080,
    mtls: bool = True,
    agent: str = "python-httpx/0.28.1",
) -> str:
    """One HTTP line: `side` outbound at the client, inbound at the server."""
    short = host.partition(".")[0]
    upstream = f"{server.ip}:{target}" if server else "-"
    size = 0 if code >= 400 and details != "via_upstream" else 187
    head = f'[{at(minutes)}] "{method} {path} HTTP/1.1" {code} {flags} {details} {termination}'
    middle = f'"{transport}" 0 {size} 4 {3 if size else "-"} "-" "{agent}" "{_id(minutes)}"'
    source = f"{client.ip}:{_port(minutes, client.name)}"
    if side == "outbound":
        cluster = f"outbound|{port}||{host}"
        tail = f"{cluster} {source} 172.20.1.9:{port} {client.ip}:{_port(minutes, 'app')} - default"
        return f'{head} {middle} "{short}:{port}" "{upstream}" {tail}'
    sni = f"outbound_.{port}_._.{host}" if mtls else "-"
    local = f"127.0.0.6:{_port(minutes, 'local')}"
    tail = f"inbound|{target}|| {local} {upstream} {source} {sni} default"
    return f'{head} {middle} "{short}:{port}" "{upstream}" {tail}'


def refused(minutes: float, server: Pod, peer: str, *, target: int = 8080, sni: str = "-") -> str:
    """The server's listener found no filter chain for what the peer sent."""
    return (
        f'[{at(minutes)}] "- - -" 0 NR filter_chain_not_found - "-" 0 0 0 - "-" "-" "-" "-" "-" '
        f"- - {server.ip}:{target} {peer}:{_port(minutes, peer)} {sni} -"
    )


def reset(minutes: float, client: Pod, server: Pod, host: str, port: int, **more: str) -> str:
    """The client's line for a request whose connection the server closed."""
    return request(
        minutes,
        client=client,
        server=server,
        host=host,
        port=port,
        side="outbound",
        code=503,
        flags=more.pop("flags", "UC"),
        details=more.pop(
            "details", "upstream_reset_before_response_started{connection_termination}"
        ),
        **more,  # type: ignore[arg-type]
    )


def exchange(
    minutes: float, client: Pod, server: Pod, host: str, port: int, path: str, code: int = 200
) -> tuple[str, str]:
    """A request that the application answered: the client's line and the server's."""
    common = {"client": client, "server": server, "host": host, "port": port, "path": path}
    out = request(minutes, side="outbound", code=code, **common)  # type: ignore[arg-type]
    inside = request(minutes, side="inbound", code=code, **common)  # type: ignore[arg-type]
    return out, inside


def _id(minutes: float) -> str:
    digits = hashlib.sha256(f"request {minutes}".encode()).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-9{digits[13:16]}-b{digits[17:20]}-{digits[20:32]}"


def _port(minutes: float, name: str) -> int:
    return 32768 + int(hashlib.sha256(f"{minutes} {name}".encode()).hexdigest()[:4], 16) % 28000
