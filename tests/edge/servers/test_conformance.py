"""HTTP/1.1 as both servers must speak it: raw bytes over real sockets, a real worker behind them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from tests.edge.factories import declare_ready, make_link, make_variant, publish, publish_domain
from tests.edge.processes import EdgeProcesses
from tests.edge.servers.raw_client import RawClient, get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge.contract.link_record import LinkRecord
    from tests.conftest import TestServer

    Connect = Callable[[], RawClient]

CLOSE = "Connection: close"
POST = b"POST /summer HTTP/1.1\r\nHost: edge\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


async def prepare(redis_url: str, *links: LinkRecord) -> None:
    async with Redis.from_url(redis_url) as redis:
        await publish_domain(redis, "go.acme.example")
        await publish(redis, *links)
        await declare_ready(redis)


@pytest.fixture(scope="module", params=["wire", "rsgi"])
def edge(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    valkey_server: TestServer,
    redis_database: str,
) -> Iterator[EdgeProcesses]:
    valkey_server.start()
    with BlockingRedis.from_url(redis_database) as redis:
        redis.flushdb()
    links = [make_link(slug=f"link-{number}", variants=(make_variant(1, 1),)) for number in range(10)]
    links.append(make_link(domain="go.acme.example", variants=(make_variant(2, 1),)))
    asyncio.run(prepare(redis_database, make_link(variants=(make_variant(1, 1),)), *links))
    folder = tmp_path_factory.mktemp(request.param)
    processes = EdgeProcesses(folder, redis_database, server=request.param)
    processes.start()
    asyncio.run(processes.ready())
    processes.get("/summer")  # cached from here on
    yield processes
    assert processes.workers[0].poll() is None
    assert "Traceback" not in processes.log()
    processes.kill()


@pytest.fixture
def is_wire(request: pytest.FixtureRequest) -> bool:
    return "[wire" in request.node.name


@pytest.fixture
def connect(edge: EdgeProcesses) -> Iterator[Connect]:
    clients: list[RawClient] = []

    def open_client() -> RawClient:
        clients.append(RawClient(("127.0.0.1", edge.port)))
        return clients[-1]

    yield open_client
    for client in clients:
        client.socket.close()


@pytest.fixture
def wire_only(is_wire: bool) -> Callable[[str], None]:
    def skip(reason: str) -> None:
        if not is_wire:
            pytest.skip(reason)

    return skip


class TestConnections:
    def test_they_are_kept(self, connect: Connect) -> None:
        client = connect()
        for number in range(3):
            answer = client.send(get(f"/summer?{number}")).answer()
            assert answer is not None
            assert (answer.status, answer.headers["location"]) == (302, f"https://v1.example/?{number}")
            assert "connection" not in answer.headers

    def test_close_is_obeyed(self, connect: Connect) -> None:
        client = connect().send(get("/summer", CLOSE))
        answer = client.answer()
        assert answer is not None
        assert (answer.status, answer.headers["connection"]) == (302, "close")
        assert client.is_closed()

    def test_nothing_behind_close_is_answered(self, connect: Connect) -> None:
        assert connect().send(get("/summer", CLOSE) + get("/summer")).statuses() == [302]

    def test_an_old_client_is_answered_once(self, connect: Connect) -> None:
        assert connect().send(get(version="1.0")).statuses() == [302]
        assert connect().send(b"GET /summer HTTP/1.0\r\n\r\n").statuses() == [302]

    def test_an_old_client_may_ask_to_be_kept(self, connect: Connect) -> None:
        client = connect()
        for _ in range(2):
            answer = client.send(get("/summer", "Connection: keep-alive", version="1.0")).answer()
            assert answer is not None
            assert (answer.status, answer.headers["connection"].lower()) == (302, "keep-alive")

    def test_a_client_may_end_its_half_early(
        self, connect: Connect, wire_only: Callable[[str], None]
    ) -> None:
        wire_only("hyper closes when its client does")
        assert connect().send(get("/summer") + get("/_/health/live")).end().statuses() == [302, 200]

    def test_an_offer_to_upgrade_is_passed_over(self, connect: Connect) -> None:
        client = connect().send(get("/summer", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
        first = client.answer()
        second = client.send(get("/summer", CLOSE)).answer()
        assert [first and first.status, second and second.status] == [302, 302]


class TestPipelining:
    @pytest.mark.parametrize(
        "paths",
        [
            ["/summer?1", "/summer?2", "/summer?3"],
            ["/_/health/live", "/summer?1", "/nothing-here", "/summer?2"],
            ["/link-{}?1", "/summer?2", "/link-{}?3", "/_/health/live", "/summer?4"],
        ],
    )
    def test_answers_come_in_order(self, connect: Connect, paths: list[str], is_wire: bool) -> None:
        paths = [path.format(0 if is_wire else 1) for path in paths]
        client = connect().send(b"".join(get(path) for path in paths) + get("/", CLOSE))
        answers = client.answers()
        assert len(answers) == len(paths) + 1
        for path, answer in zip(paths, answers, strict=False):
            if "?" in path:
                assert answer.headers["location"].endswith(path.partition("?")[2])
            else:
                assert answer.status == (200 if path.startswith("/_/") else 404)

    def test_thousands_at_once(self, connect: Connect) -> None:
        client = connect()
        count = 5000
        client.send(b"".join(get(f"/summer?{number}") for number in range(count)) + get("/", CLOSE))
        answers = client.answers()
        assert [answer.headers["location"].rpartition("?")[2] for answer in answers[:-1]] == [
            str(number) for number in range(count)
        ]

    def test_the_bad_one_is_answered_in_its_turn(
        self, connect: Connect, wire_only: Callable[[str], None]
    ) -> None:
        wire_only("hyper drops the answers that still wait")
        client = connect().send(
            get("/_/health/live") + get("/summer") + b"GET / HTTP/1.1\r\nbad header\r\n\r\n"
        )
        assert client.statuses() == [200, 302, 400]


class TestHead:
    def test_has_no_body(self, connect: Connect) -> None:
        client = connect()
        for path, status in (("/summer", 302), ("/nothing", 404), ("/_/health/live", 200)):
            answer = client.send(get(path, method="HEAD")).answer(to_head=True)
            assert answer is not None
            assert answer.status == status
        assert client.send(get("/summer", CLOSE)).statuses() == [302]


class TestBodies:
    @pytest.mark.parametrize(
        "request_",
        [
            POST + b"Content-Length: 5\r\n\r\nhello",
            POST + b"Content-Length: 0\r\n\r\n",
            CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
            CHUNKED + b"0\r\n\r\n",
            POST + b"Content-Length: 36\r\n\r\n" + get("/summer")[:36],
        ],
    )
    def test_end_where_they_say(self, connect: Connect, request_: bytes) -> None:
        client = connect()
        answer = client.send(request_).answer()
        assert answer is not None
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert client.send(get("/summer", CLOSE)).statuses() == [302]

    def test_extensions_and_trailers(self, connect: Connect, wire_only: Callable[[str], None]) -> None:
        wire_only("Granian may close behind chunks that the handler does not read")
        body = b"1;ext=1\r\nh\r\n4;ext=2\r\nello\r\n0\r\nTrailer: x\r\n\r\n"
        assert connect().send(CHUNKED + body + get("/summer", CLOSE)).statuses() == [405, 302]

    def test_a_get_may_have_one(self, connect: Connect) -> None:
        client = connect().send(get("/summer", "Content-Length: 5") + b"hello" + get("/summer?2", CLOSE))
        assert client.statuses() == [302, 302]

    def test_continue(self, connect: Connect, wire_only: Callable[[str], None]) -> None:
        wire_only("Granian answers at once and never asks for a body that the handler does not read")
        client = connect().send(POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        statuses = [answer.status for answer in [client.answer()] if answer]
        client.send(b"hello", get("/summer", CLOSE))
        assert statuses + client.statuses() == [100, 405, 302]

    def test_no_continue_when_the_body_is_here(self, connect: Connect) -> None:
        client = connect().send(POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello")
        answer = client.answer()
        assert answer is not None
        assert answer.status == 405

    def test_continue_comes_after_the_answers_before_it(
        self, connect: Connect, wire_only: Callable[[str], None]
    ) -> None:
        wire_only("Granian never asks for the body")
        head = POST + b"Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        client = connect().send(get("/_/health/live") + head)
        first, second = client.answer(), client.answer()
        assert [first and first.status, second and second.status] == [200, 100]
        assert client.send(b"hello").statuses() == [405]


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "status", "query"),
        [
            ("/summer", 302, ""),
            ("/s%75mmer?a=%20b", 302, "?a=%20b"),
            ("http://edge/summer?x=1", 302, "?x=1"),
            ("HTTP://user@edge:80/summer", 302, ""),
            ("/summer?%C3%A9", 302, "?%C3%A9"),
            ("/caf%C3%A9", 404, None),
            ("/summer%00", 404, None),
            ("/%ff", 404, None),
            ("http://edge?x=1", 404, None),
            ("//summer", 404, None),
        ],
    )
    def test_forms(self, connect: Connect, target: str, status: int, query: str | None) -> None:
        (answer,) = connect().send(get(target, CLOSE)).answers()
        assert answer.status == status
        if query is not None:
            assert answer.headers["location"] == f"https://v1.example/{query}"

    @pytest.mark.parametrize("target", ["/caf\xe9", "/summer?caf\xe9=\u65e5"])
    def test_raw_text(self, connect: Connect, target: str) -> None:
        (answer,) = connect().send(get(target, CLOSE)).answers()
        assert answer.status == (302 if "summer" in target else 404)
        if answer.status == 302:
            assert answer.headers["location"].upper().endswith("?CAF%C3%A9=%E6%97%A5".upper())

    def test_raw_text_cut_anywhere(self, connect: Connect, wire_only: Callable[[str], None]) -> None:
        wire_only("one cut is as good as another to hyper, which gathers the header first")
        first, second = get("/summer?a=\xe9&b=\xe9", "X: \xe9"), get("/summer?\u65e5", "Y: \xe9", CLOSE)
        for cut in range(1, len(first + second)):
            answers = connect().send((first + second)[:cut], (first + second)[cut:]).answers()
            assert [answer.headers["location"].partition("?")[2] for answer in answers] == [
                "a=%C3%A9&b=%C3%A9",
                "%E6%97%A5",
            ]


class TestHosts:
    @pytest.mark.parametrize("host", ["go.acme.example", "GO.Acme.Example.:8080"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_a_custom_domain_has_links_of_its_own(self, connect: Connect, host: str, method: str) -> None:
        raw = get("/summer", CLOSE, method=method).replace(b"Host: edge", f"Host: {host}".encode())
        (answer,) = connect().send(raw).answers()
        assert (answer.status, answer.headers["location"]) == (302, "https://v2.example/")

    @pytest.mark.parametrize("host", ["edge", "", "[::1]:80", "acme.example", "x.go.acme.example", "x" * 999])
    def test_any_other_host_is_a_name_of_the_service(self, connect: Connect, host: str) -> None:
        raw = get("/summer", CLOSE).replace(b"Host: edge", f"Host: {host}".encode())
        (answer,) = connect().send(raw).answers()
        assert (answer.status, answer.headers["location"]) == (302, "https://v1.example/")

    @pytest.mark.parametrize(
        "target", ["http://go.acme.example/summer", "http://user@GO.acme.example:81/summer"]
    )
    def test_the_host_of_the_request_line_counts_in_place_of_the_header(
        self, connect: Connect, target: str
    ) -> None:
        (answer,) = connect().send(get(target, CLOSE)).answers()
        assert answer.headers["location"] == "https://v2.example/"
        elsewhere = get("http://edge/summer", CLOSE).replace(b"Host: edge", b"Host: go.acme.example")
        (answer,) = connect().send(elsewhere).answers()
        assert answer.headers["location"] == "https://v1.example/"

    def test_a_request_without_host_is_for_the_service(self, connect: Connect) -> None:
        raw = b"GET /summer HTTP/1.0\r\n\r\n"
        (answer,) = connect().send(raw).answers()
        assert answer.headers["location"] == "https://v1.example/"

    @pytest.mark.parametrize(
        "path", ["/go.acme.example/summer", "/go.acme.example%2Fsummer", "/go.acme.example/"]
    )
    def test_a_path_does_not_lead_to_another_domain(self, connect: Connect, path: str) -> None:
        (answer,) = connect().send(get(path, CLOSE)).answers()
        assert answer.status == 404


class TestHeaders:
    def test_many_lines_of_one_name(self, connect: Connect) -> None:
        lines = ["Cookie: a=1", "Cookie: b=2", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8", CLOSE]
        assert connect().send(get("/summer", *lines)).statuses() == [302]

    def test_every_answer_has_a_date(self, connect: Connect) -> None:
        for path in ("/summer", "/nothing", "/_/health/live"):
            (answer,) = connect().send(get(path, CLOSE)).answers()
            assert answer.headers["date"].endswith(" GMT")
            assert int(answer.headers["content-length"]) == len(answer.body)


METHODS = ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")


class TestRefusals:
    @pytest.mark.parametrize("method", METHODS)
    def test_methods(self, connect: Connect, method: str) -> None:
        (answer,) = connect().send(get("/summer", CLOSE, "Content-Length: 0", method=method)).answers()
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")

    @pytest.mark.parametrize(
        "raw",
        [
            b"GET /summer HTTP/1.1\r\nHost: edge\r\nno colon\r\n\r\n",
            b"GET /summer HTTP/1.1\r\nHost: edge\r\nA : b\r\n\r\n",
            b"GET /summer HTTP/1.1\r\nHost: edge\r\nA: b\r\n folded\r\n\r\n",
            b"GET /summer HTTP/1.1\r\nHost: edge\r\nA: b\x00\r\n\r\n",
            b"GET /sum mer HTTP/1.1\r\nHost: edge\r\n\r\n",
            POST + b"Content-Length: -1\r\n\r\n",
            POST + b"Content-Length: 5, 6\r\n\r\nhello",
            POST + b"Content-Length: x\r\n\r\n",
            POST + b"Content-Length: 99999999999999999999\r\n\r\n",
            POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        ],
    )
    def test_malformed(self, connect: Connect, raw: bytes) -> None:
        client = connect().send(raw)
        answer = client.answer()
        assert answer is not None
        assert answer.status == 400
        assert client.is_closed()

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (b"GET /summer HTTP/1.1\r\n\r\n", 400),
            (get("summer"), 400),
            (b"GET /summer HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
            (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
            (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
            (CHUNKED + b"zz\r\n", 400),
            (get(method="BREW"), 501),
            (get(method="G" * 200), 501),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400),
            (b"G\x00T /summer HTTP/1.1\r\nHost: edge\r\n\r\n", 400),
            (get(version="2.0"), 505),
            (get(version="9.9"), 505),
            (b"GET /summer\r\n\r\n", 505),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (get("/summer", "Expect: tea"), 417),
            (get("/" + "x" * 9000), 414),
            (get("/summer", "X: " + "x" * 17_000), 431),
            (get("/summer", *["X: y"] * 3000), 431),
            (POST + b"Content-Length: 65537\r\n\r\n", 413),
            (CHUNKED + b"10001\r\n" + bytes(65_537), 413),
        ],
    )
    def test_with_the_status_that_says_why(
        self, connect: Connect, wire_only: Callable[[str], None], raw: bytes, status: int
    ) -> None:
        wire_only("Granian leaves Host, codings, versions and limits to hyper, which has its own")
        client = connect().send(raw)
        (answer,) = client.answers()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.is_closed()

    def test_both_lengths_never_make_two_requests(self, connect: Connect) -> None:
        inner = get("/summer?smuggled")
        for head in (
            POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(inner)),
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n" % (5 + len(inner)),
        ):
            assert 302 not in connect().send(head + inner).end().statuses()
