"""What if the API server were far away? A proxy in front of it with a delay and a bandwidth.

Stands in for `tc netem` where the kernel has none. Both directions share nothing; all connections
of one direction share its bandwidth. Setting up a connection costs one round trip, as it would.
What it does not imitate: slow start and loss.
"""

from __future__ import annotations

import asyncio
import sys

from tests.lab import layout

PORT = 6445
CHUNK = 1 << 16
# How much may be on its way in one direction of one connection: a window of 4 MB.
IN_FLIGHT = 64


class Direction:
    """One direction of the link."""

    def __init__(self, delay: float, bytes_per_second: float) -> None:
        self._delay = delay
        self._rate = bytes_per_second
        self._free = 0.0

    def arrival(self, size: int, now: float) -> float:
        """When so many bytes, sent now, have all arrived."""
        self._free = max(self._free, now) + size / self._rate
        return self._free + self._delay


async def carry(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, way: Direction, extra: float
) -> None:
    """Carry bytes one way until the source ends."""
    loop = asyncio.get_running_loop()
    moving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)

    async def deliver() -> None:
        while True:
            when, data = await moving.get()
            await asyncio.sleep(max(0.0, when - loop.time()))
            if not data:
                break
            target.write(data)
            await target.drain()
        target.write_eof() if target.can_write_eof() else target.close()

    async def take() -> None:
        wait = extra
        while data := await source.read(CHUNK):
            await moving.put((way.arrival(len(data), loop.time()) + wait, data))
            wait = 0.0
        await moving.put((way.arrival(0, loop.time()), b""))

    await asyncio.gather(take(), deliver())


async def serve(delay: float, megabits: float) -> None:
    """Serve until ended."""
    out, back = (Direction(delay / 2, megabits * 125_000) for _ in range(2))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(layout.API_IP, 6443)
            await asyncio.gather(
                carry(reader, there_writer, out, delay), carry(there_reader, writer, back, 0.0)
            )
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, layout.API_IP, PORT)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) / 1000, float(sys.argv[2])))
