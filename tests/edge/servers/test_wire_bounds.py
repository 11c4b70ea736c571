"""What one client may take of the wire server, with limits small enough to be reached."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from edge.request import ProxyTrust
from edge.servers.wire_connection import PIECE_BYTES
from tests.edge.servers.raw_client import RawClient, get
from tests.edge.servers.wire_thread import WireThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HEAD = b"GET / HTTP/1.1\r\nHost: edge\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n"
PATIENCE_S = 20


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def send_for_ever(client: RawClient) -> None:
    while True:
        client.send(b"x" * 1000)


def drip(client: RawClient, *pieces: bytes) -> None:
    """Send pieces over and over until the server has had enough."""
    client.socket.settimeout(0.01)
    with contextlib.suppress(ConnectionError):
        for piece in itertools.chain(pieces, itertools.repeat(pieces[-1])):
            client.socket.sendall(piece)
            with contextlib.suppress(TimeoutError):
                client._received += client.socket.recv(1 << 16)
                break
    client.socket.settimeout(10)


class TestTime:
    def test_a_header_that_drips(self) -> None:
        with WireThread(head_s=0.1, sweep_s=0.05) as edge, edge.connect() as client:
            drip(client, HEAD + b"X: ", b"y")
            assert client.statuses() == [408]

    def test_a_body_that_drips(self) -> None:
        with WireThread(body_s=0.1, sweep_s=0.05) as edge, edge.connect() as client:
            drip(client, CHUNKED, b"1\r\nx\r\n")
            assert client.statuses() == [408]

    def test_nothing_at_all(self) -> None:
        with WireThread(head_s=0.1, sweep_s=0.05) as edge, edge.connect() as client:
            assert client.is_closed()

    def test_idle_between_requests(self) -> None:
        with WireThread(idle_s=0.1, sweep_s=0.05) as edge, edge.connect() as client:
            client.send(get())
            assert [answer.status for answer in client.answers()] == [200]

    def test_an_answer_that_never_comes(self) -> None:
        with WireThread(idle_s=0.1, sweep_s=0.05) as edge, edge.connect() as client:
            assert client.send(get("/held")).is_closed()
            until(lambda: edge.connections == 0)
            edge.release()

    def test_a_refused_client_that_goes_on_sending(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("edge.servers.wire_connection.LINGER_S", 0.1)
        with WireThread(sweep_s=0.05) as edge, edge.connect() as client:
            assert client.send(b"nonsense\r\n\r\n").statuses() == [400]
            with pytest.raises(ConnectionError):
                send_for_ever(client)
            until(lambda: edge.connections == 0)


class TestSizes:
    @pytest.mark.parametrize(
        ("begin", "more", "status"),
        [
            (b"GET /", b"x" * 100, 414),
            (b"GET /summer?", b"\xe9" * 100, 414),
            (HEAD + b"X: ", b"y" * 100, 431),
            (HEAD + b"X", b"x" * 100, 431),
            (HEAD, b"X: y\r\n" * 20, 431),
            (b"\r\n", b"\r\n" * 50, 431),
            (CHUNKED + b"1;", b"x" * 100, 413),
            (CHUNKED, b"1;xxxxxxxxxxxxxxx\r\nx\r\n" * 10, 413),
            (CHUNKED, b"64\r\n" + b"x" * 100 + b"\r\n", 413),
            (CHUNKED + b"0\r\nTrailer: ", b"x" * 100, 413),
        ],
    )
    def test_what_does_not_end(self, begin: bytes, more: bytes, status: int) -> None:
        with (
            WireThread(head_bytes=1000, target_bytes=1000, body_bytes=1000) as edge,
            edge.connect() as client,
        ):
            drip(client, begin, more)
            assert client.statuses() == [status]
            assert edge.worker.asked == []

    def test_up_to_the_bound_is_fine(self) -> None:
        with WireThread(target_bytes=1000, body_bytes=1000) as edge, edge.connect() as client:
            client.send(get("/" + "x" * 999), CHUNKED, b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n")
            assert client.send(get("/", "Connection: close")).statuses() == [200, 200, 200]


class TestKeptBodies:
    """Of requests below /_/, whose bodies somebody looks into."""

    HEAD = b"POST /%5f/x HTTP/1.1\r\nHost: edge\r\n"

    def test_they_are_bounded_however_large_others_may_be(self) -> None:
        with WireThread(body_bytes=1 << 20) as edge:
            for more in (b"Content-Length: 65537\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n10001\r\n"):
                with edge.connect() as client:
                    client.send(self.HEAD + more)
                    drip(client, b"x" * 1000)
                    assert client.statuses() == [413]
            with edge.connect() as client:
                other = self.HEAD.replace(b"/%5f/x", b"/x")
                assert client.send(other + b"Content-Length: 65537\r\n\r\n" + bytes(65_537)).answer()

    def test_they_are_bounded_together_and_let_go(self) -> None:
        begin = self.HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(999)
        with WireThread(bodies_bytes=1500) as edge:
            with edge.connect() as first, edge.connect() as second:
                first.send(begin)
                until(lambda: edge.server.kept_body_bytes == 999)
                assert second.send(begin).statuses() == [503]
                assert first.send(b"x").answer()
            until(lambda: edge.server.kept_body_bytes == 0)
            with edge.connect() as third:
                third.send(begin)
                until(lambda: edge.server.kept_body_bytes == 999)
            until(lambda: edge.server.kept_body_bytes == 0)


class TestNumbers:
    def test_requests_of_a_connection(self) -> None:
        with WireThread(requests=3) as edge, edge.connect() as client:
            answers = client.send(get() * 5).answers()
            assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]
            assert len(edge.worker.asked) == 3

    def test_connections_of_an_address(self) -> None:
        with WireThread(connections_per_address=2) as edge, contextlib.ExitStack() as open_:
            clients = [open_.enter_context(edge.connect()) for _ in range(2)]
            for client in clients:
                assert client.send(get()).answer()
            assert edge.connect().is_closed()
            clients[0].socket.close()
            until(lambda: edge.connections == 1)
            assert edge.connect().send(get()).answer()

    def test_connections_of_trusted_proxies_are_not_bound(self) -> None:
        trust = ProxyTrust("127.0.0.0/8")
        with WireThread(connections_per_address=1, trust=trust) as edge:
            clients = [edge.connect() for _ in range(5)]
            assert all(client.send(get()).answer() for client in clients)

    def test_connections_of_a_worker(self, tmp_path: Path) -> None:
        with WireThread(connections=2, path=tmp_path / "edge.sock") as edge:
            clients = [edge.connect() for _ in range(2)]
            assert all(client.send(get()).answer() for client in clients)
            assert edge.connect().is_closed()


class TestBackPressure:
    def test_a_client_that_does_not_read_is_not_read_either(self) -> None:
        with WireThread(unsent_bytes=10_000) as edge, edge.connect() as client:
            # Long requests: the kernel holds megabytes of them, and each is answered in the end.
            request = get("/large?10000", "X: " + "x" * 4000)
            sent = flood(client, request * 20)
            # Behind a pause lie at most the answers of one piece, and what the kernel holds.
            (connection,) = edge.server._clients
            unsent = connection._transport.get_write_buffer_size()  # type: ignore[attr-defined]
            assert unsent <= 10_000 + (PIECE_BYTES / len(request) + 1) * 11_000
            asked = len(edge.worker.asked)
            assert asked < sent
            with edge.connect() as other:
                assert other.send(get()).answer()
            assert len(client.end().answers()) == sent

    def test_it_is_cut_in_the_end(self) -> None:
        with WireThread(unsent_bytes=10_000, write_s=0.1, sweep_s=0.05) as edge, edge.connect() as client:
            flood(client, get("/large?10000") * 20)
            until(lambda: edge.connections == 0)

    def test_a_flood_of_requests_waits_behind_one_that_is_awaited(self) -> None:
        with WireThread() as edge, edge.connect() as client:
            client.send(get("/held"))
            until(lambda: edge.connections == 1)
            flood(client, get() * 100)
            (connection,) = edge.server._clients
            assert len(connection._waiting) <= PIECE_BYTES / len(get()) + 1  # type: ignore[attr-defined]
            assert edge.worker.asked == []
            with edge.connect() as other:
                assert other.send(get()).answer()


def flood(client: RawClient, data: bytes) -> int:
    """Send requests without reading until the server takes no more. Give how many went out whole."""
    client.socket.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        while True:
            sent += client.socket.send(data)
    client.socket.settimeout(PATIENCE_S)
    return sent // len(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


class TestDrain:
    @pytest.fixture
    def edge(self) -> Iterator[WireThread]:
        with WireThread() as edge:
            yield edge

    def test_idle_connections_close_at_once(self, edge: WireThread) -> None:
        with edge.connect() as client:
            assert client.send(get()).answer()
            edge.stop()
            assert client.is_closed()
            with pytest.raises(ConnectionError):
                edge.connect().send(get()).answer()

    def test_requests_in_flight_are_finished(self, edge: WireThread) -> None:
        with edge.connect() as held, edge.connect() as half:
            held.send(get("/held"))
            half.send(HEAD)
            until(lambda: sum(client._phase == 1 for client in edge.server._clients) == 1)  # type: ignore[attr-defined]
            until(lambda: any(client._task for client in edge.server._clients))  # type: ignore[attr-defined]
            edge.stop()
            until(lambda: edge.server.is_draining)
            assert half.send(b"\r\n").statuses() == [200]
            edge.release()
            assert held.statuses() == [200]
        until(lambda: not edge.is_running)


class TestFaults:
    def test_a_fault_of_the_handler_ends_its_connection_only(self) -> None:
        with WireThread() as edge, edge.connect() as client, edge.connect() as other:
            assert client.send(get("/x"), get("/fault"), get("/y")).statuses() == [200, 500]
            assert other.send(get()).answer()
