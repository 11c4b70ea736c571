"""The examples of deploy/proxies/ in front of a real edge worker. They are skipped without the proxy."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.contract.events import Click, decode_event
from edge.contract.link_record import Stickiness
from tests.deploy.proxies import VISITOR, Caddy, Nginx
from tests.edge.factories import declare_ready, make_link, publish
from tests.edge.journals import adopt, list_events
from tests.edge.processes import EdgeProcesses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from redis.asyncio import Redis

    from tests.deploy.proxies import Proxy

    Start = Callable[..., Awaitable[tuple[Proxy, EdgeProcesses]]]

OWN_COUNTRY = {
    Nginx: {'proxy_set_header CF-IPCountry "";': "proxy_set_header CF-IPCountry BR;"},
    Caddy: {"header_up -CF-IPCountry": "header_up CF-IPCountry BR"},
}
UNIX = {Nginx: "unix:{}", Caddy: "unix/{}"}


@pytest.fixture(params=[Nginx, Caddy])
def kind(request: pytest.FixtureRequest) -> type[Proxy]:
    found: type[Proxy] = request.param
    if found.find() is None:
        pytest.skip(f"{found.program} is not installed")
    return found


@pytest.fixture
async def start(kind: type[Proxy], tmp_path: Path, redis_url: str, redis: Redis) -> AsyncIterator[Start]:
    await publish(redis, make_link(stickiness=Stickiness.COOKIE))
    await declare_ready(redis)
    proxies: list[Proxy] = []
    edges: list[EdgeProcesses] = []

    async def make(
        changes: dict[str, str] | None = None, path: Path | None = None
    ) -> tuple[Proxy, EdgeProcesses]:
        trusted = {"trusted_proxies": "unix" if path else "127.0.0.1", "edge_socket": path or ""}
        edge = EdgeProcesses(tmp_path, redis_url, server="wire", **trusted)
        edges.append(edge)
        umask = os.umask(0o007)  # as the examples say, for the socket
        edge.start()
        os.umask(umask)
        await edge.ready()
        upstream = UNIX[kind].format(path) if path else f"127.0.0.1:{edge.port}"
        proxy = await kind(tmp_path, upstream, changes or {}).up()
        proxies.append(proxy)
        return proxy, edge

    yield make
    for proxy in proxies:
        proxy.stop()
    for edge in edges:
        edge.kill()


async def list_clicks(edge: EdgeProcesses) -> list[Click]:
    """Give the clicks that were journaled; ends the edge."""
    edge.kill()
    (folder,) = (path for path in edge.journals.iterdir() if (path / "counters").exists())
    events = [decode_event(event) for event in list_events(adopt(folder))]
    return [event for event in events if isinstance(event, Click)]


def count_open(port: int) -> int:
    """Count the open connections to a port of the loopback address."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


async def test_a_redirect_passes_with_what_the_click_needs(start: Start) -> None:
    proxy, edge = await start()
    answer = proxy.ask(
        "/summer?utm_source=a%20b", headers={"User-Agent": "Mozilla/5.0", "Referer": "https://a.example/"}
    )
    assert answer.status == 302
    assert answer.headers["location"].endswith("utm_source=a%20b")
    assert answer.headers["cache-control"] == "no-store"
    assert "Secure" in answer.headers["set-cookie"].split("; ")
    (click,) = await list_clicks(edge)
    assert (click.ip, click.user_agent, click.referrer) == (VISITOR, "Mozilla/5.0", "https://a.example/")


async def test_what_a_visitor_says_of_himself_is_not_believed(start: Start) -> None:
    proxy, edge = await start()
    lies = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
        "CF-IPCountry": "BR",
        "Forwarded": "for=203.0.113.9",
    }
    answer = proxy.ask("/summer", headers=lies)
    assert "Secure" in answer.headers["set-cookie"].split("; ")
    (click,) = await list_clicks(edge)
    assert (click.ip, click.country) == (VISITOR, "")


async def test_a_country_that_the_proxy_names_reaches_the_click(start: Start, kind: type[Proxy]) -> None:
    proxy, edge = await start(OWN_COUNTRY[kind])
    assert proxy.ask("/summer", headers={"CF-IPCountry": "DE"}).status == 302
    assert [click.country for click in await list_clicks(edge)] == ["BR"]


async def test_head_is_answered_and_not_counted(start: Start) -> None:
    proxy, edge = await start()
    answer = proxy.ask("/summer", "HEAD")
    assert (answer.status, answer.body) == (302, b"")
    assert answer.headers["location"]
    assert await list_clicks(edge) == []


async def test_connections_to_the_edge_are_kept(start: Start) -> None:
    proxy, edge = await start()
    assert {proxy.ask("/summer").status for _ in range(20)} == {302}
    assert count_open(edge.port) == 1


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder that others may pass through, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o711)
        yield path


async def test_over_a_unix_socket(start: Start, socket_folder: Path) -> None:
    proxy, edge = await start(path=socket_folder / "edge.sock")
    answer = proxy.ask("/summer", headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.status == 302
    assert "Secure" in answer.headers["set-cookie"].split("; ")
    assert [click.ip for click in await list_clicks(edge)] == [VISITOR]


async def test_pages_of_the_operator_are_closed(start: Start) -> None:
    proxy, _edge = await start()
    for path in ("/_/health", "/_/", "//_/health", "/%5F/health", "/x/../_/metrics"):
        answer = proxy.ask(path)
        assert answer.status in (400, 404)
        assert b"journal" not in answer.body
