"""The comparison in nginx and Lua really does the edge's work."""

from __future__ import annotations

import re
import time
import uuid
import zlib
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from loadtests.bench_stack import fetch
from loadtests.reference_servers import running_nginx_lua

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import TestServer

CALM, LOUD = "0190f0f0-aaaa-7aaa-8aaa-aaaaaaaaaaaa", "0190f0f0-bbbb-7bbb-8bbb-bbbbbbbbbbbb"
LINK_ID = "0190f0f0-cccc-7ccc-8ccc-cccccccccccc"
LINK = {
    "id": LINK_ID,
    "slug": "lua-spring",
    "variants": [
        {
            "id": CALM,
            "label": "calm",
            "weight": 100,
            "destination_url": "https://a.example/?own=1&id={click_id}#top",
        },
        {"id": LOUD, "label": "loud", "weight": 0, "destination_url": "https://b.example/{country}/x"},
    ],
}


@pytest.fixture
def redis_url(valkey_server: TestServer) -> str:
    valkey_server.start()
    return valkey_server.url


@pytest.fixture
def url(redis_url: str) -> Iterator[str]:
    with Redis.from_url(redis_url) as redis:
        redis.delete("lua:events")
    with running_nginx_lua(redis_url, LINK) as target:
        if target is None:
            pytest.skip("nginx with its Lua module is not installed")
        yield target.url


def events(redis_url: str, count: int) -> list[list[str]]:
    """Give the events in the stream once there are so many."""
    deadline = time.monotonic() + 10
    with Redis.from_url(redis_url) as redis:
        while True:
            chunks = [fields for _id, fields in redis.xrange("lua:events")]
            found = [line.split("\0") for chunk in chunks for line in chunk[b"b"].decode().split("\n")]
            if len(found) >= count or time.monotonic() > deadline:
                break
            time.sleep(0.02)
    assert [int(chunk[b"s"]) for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert all(zlib.crc32(chunk[b"b"]) == int(chunk[b"c"]) for chunk in chunks)
    assert sum(int(chunk[b"n"]) for chunk in chunks) == len(found)
    return found


def test_a_click_is_redirected_pinned_and_shipped(url: str, redis_url: str) -> None:
    status, headers, body = fetch(
        url,
        "GET",
        "/lua-spring?own=2&utm_source=mail",
        {"Referer": "https://r.example/", "User-Agent": "Agent"},
    )
    assert (status, body, headers["cache-control"]) == (302, b"", "no-store")
    location = re.fullmatch(
        r"https://a\.example/\?own=1&id=([0-9a-f-]{36})&utm_source=mail#top", headers["location"]
    )
    assert location is not None, headers["location"]
    click_id = uuid.UUID(location[1])
    assert (click_id.version, click_id.variant) == (7, uuid.RFC_4122)
    assert abs((click_id.int >> 80) / 1000 - time.time()) < 60
    cookie = (
        f"sy_lua-spring={CALM.replace('-', '')}; Path=/lua-spring; Max-Age=7776000; HttpOnly; SameSite=Lax"
    )
    assert headers["set-cookie"] == cookie
    (event,) = events(redis_url, 1)
    assert event == [
        str(click_id), "0" * 31 + "1", LINK_ID.replace("-", ""), CALM.replace("-", ""), "1", "weight",
        "127.0.0.1", "", "https://r.example/", "Agent", "own=2&utm_source=mail", "0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "sets_cookie", "ahead"),
    [
        ({"Sec-GPC": "1"}, False, "0"),
        ({"Sec-Purpose": "prefetch;prerender"}, True, "1"),
        ({"X-Moz": "prefetch"}, True, "1"),
    ],
)
def test_privacy_and_prefetch(
    url: str, redis_url: str, headers: dict[str, str], sets_cookie: bool, ahead: str
) -> None:
    _status, answer, _body = fetch(url, "GET", "/lua-spring", headers)
    assert ("set-cookie" in answer) is sets_cookie
    (event,) = events(redis_url, 1)
    assert event[-1] == ahead


@pytest.mark.parametrize(
    ("pinned", "reason", "is_pinned_anew"), [(CALM, "sticky", False), (LOUD, "weight", True)]
)
def test_a_visitor_stays_unless_the_variant_is_paused(
    url: str, redis_url: str, pinned: str, reason: str, is_pinned_anew: bool
) -> None:
    cookie = {"Cookie": f"a=b; sy_lua-spring={pinned.replace('-', '')}"}
    _status, headers, _body = fetch(url, "GET", "/lua-spring", cookie)
    assert headers["location"].startswith("https://a.example/")
    assert ("set-cookie" in headers) is is_pinned_anew
    (event,) = events(redis_url, 1)
    assert event[5] == reason


def test_an_unknown_link_is_404_and_no_click(url: str, redis_url: str) -> None:
    assert fetch(url, "GET", "/nothing-here")[0] == 404
    assert fetch(url, "GET", "/lua-spring")[0] == 302
    assert len(events(redis_url, 1)) == 1
