"""What Switchyard promises, on the whole stack as `./switchyard up` runs it."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from loadtests.bench_stack import running_stack
from tests.stacks import Stack
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 64
CHI_SQUARED_LIMIT = 22.0
"""One degree of freedom: fair draws exceed it once in 370,000 runs."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as ready_file:
        yield Stack(ready_file)


class Visitors:
    """Clients that follow one link over and over; a broken connection is opened anew."""

    def __init__(self, edge_url: str, slug: str) -> None:
        parts = urlsplit(edge_url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._request = (
            f"GET /{slug} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: Mozilla\r\n\r\n".encode()
        )
        self.received: list[str] = []
        """Location of every 302."""
        self.broken = 0
        self.is_over = False

    async def follow(self, times: int | None) -> None:
        """Follow the link `times` times; None: until `is_over`."""
        while not self.is_over and times != 0:
            try:
                reader, writer = await asyncio.open_connection(*self._address)
                while not self.is_over and times != 0:
                    writer.write(self._request)
                    head = await reader.readuntil(b"\r\n\r\n")
                    self.received.append(_read_location(head))
                    times = times - 1 if times else None
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                self.broken += 1
                await asyncio.sleep(0.01)


def _read_location(head: bytes) -> str:
    status, *lines = head.decode().split("\r\n")
    assert status.startswith("HTTP/1.1 302"), head
    return next(line.partition(": ")[2] for line in lines if line.lower().startswith("location: "))


async def test_every_redirect_is_one_click_and_the_split_is_fair(stack: Stack) -> None:
    link_id = await stack.create_link("fair-split", {"a": 30, "b": 70})
    visitors = Visitors(stack.ready["edge_url"], "fair-split")
    per_connection = 10_000 // CONNECTIONS
    rest = 10_000 - per_connection * CONNECTIONS
    await asyncio.gather(
        *(visitors.follow(per_connection + (number < rest)) for number in range(CONNECTIONS))
    )
    assert len(visitors.received) == 10_000
    await eventually(lambda: stack.call("GET", f"/links/{link_id}/clicks")["total"] >= 10_000, timeout_s=30)
    assert stack.call("GET", f"/links/{link_id}/clicks")["total"] == 10_000
    shares = Counter(urlsplit(location).path.split("/")[1] for location in visitors.received)
    expected = {"a": 3_000, "b": 7_000}
    chi_squared = sum((shares[label] - count) ** 2 / count for label, count in expected.items())
    assert chi_squared < CHI_SQUARED_LIMIT, shares
    (item,) = [one for one in stack.call("GET", "/links")["items"] if one["id"] == link_id]
    assert item["total_clicks"] == 10_000


async def test_killing_edge_and_flusher_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
    link_id = await stack.create_link("under-fire", {"a": 50, "b": 50})
    visitors = Visitors(stack.ready["edge_url"], "under-fire")
    following = [asyncio.create_task(visitors.follow(None)) for _ in range(CONNECTIONS)]
    victims = ["edge-1", "flusher", "edge-1", "flusher", "edge-1", "flusher"]
    for victim in victims:
        await _await_more(visitors, 500)
        pid = stack.ready["processes"][victim]
        os.kill(pid, signal.SIGKILL)
        await _await_successor(stack, victim, pid)
    visitors.is_over = True
    await asyncio.gather(*following)
    received = [UUID(location.rpartition("/")[2]) for location in visitors.received]
    assert len(set(received)) == len(received) > 3_000
    rows = await _await_rows(stack, link_id, set(received))
    assert len(set(rows)) == len(rows)
    # A click that was written down just before a kill may have found its visitor gone.
    unheard = len(rows) - len(received)
    assert 0 <= unheard <= CONNECTIONS * victims.count("edge-1")
    assert stack.call("GET", f"/links/{link_id}/clicks")["total"] == len(rows)


async def _await_more(visitors: Visitors, redirects: int) -> None:
    target = len(visitors.received) + redirects
    await eventually(lambda: len(visitors.received) > target, timeout_s=60)


async def _await_successor(stack: Stack, name: str, pid: int) -> None:
    await eventually(lambda: stack.ready["processes"].get(name, pid) != pid, timeout_s=60)


async def _await_rows(stack: Stack, link_id: str, received: set[UUID]) -> list[UUID]:
    database = await asyncpg.connect(stack.ready["database_url"])
    try:

        async def fetch_ids() -> list[UUID]:
            return [
                row["id"] for row in await database.fetch("SELECT id FROM clicks WHERE link_id = $1", link_id)
            ]

        async def all_landed() -> bool:
            return received <= set(await fetch_ids())

        await eventually(all_landed, timeout_s=60)
        await eventually(lambda: _has_no_lag(stack), timeout_s=60)
        return await fetch_ids()
    finally:
        await database.close()


def _has_no_lag(stack: Stack) -> bool:
    with closing(http.client.HTTPConnection(urlsplit(stack.ready["edge_url"]).netloc, timeout=10)) as edge:
        edge.request("GET", "/_/health")
        events = json.loads(edge.getresponse().read())["events"]
    return bool(events["journaled"] == events["shipped"] == events["landed"])


async def test_a_change_of_weights_reaches_the_edge(stack: Stack) -> None:
    link_id = await stack.create_link("turn-round", {"a": 100, "b": 0})
    for chosen in ("b", "a", "b"):
        weights = [{"label": label, "weight": 100 if label == chosen else 0} for label in ("a", "b")]
        stack.call("PATCH", f"/links/{link_id}", {"variants": weights})
        await _await_location(stack, "turn-round", f"/{chosen}/")


async def _await_location(stack: Stack, slug: str, part: str) -> None:
    await eventually(lambda: part in (stack.location(slug, "HEAD") or ""), timeout_s=5)


async def test_paused_and_deleted_links_stop_redirecting(stack: Stack) -> None:
    link_id = await stack.create_link("comes-and-goes", {"a": 50, "b": 50})
    stack.call("PATCH", f"/links/{link_id}", {"is_active": False})
    await eventually(lambda: stack.location("comes-and-goes", "HEAD") is None)
    stack.call("PATCH", f"/links/{link_id}", {"is_active": True})
    await eventually(lambda: stack.location("comes-and-goes", "HEAD"))
