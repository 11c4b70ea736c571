"""The load client against servers that do what a measurement must not hide."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from loadtests.load_client import Load, run_load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REDIRECT = b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 3\r\n\r\nyes"
REFUSAL = b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n"


@contextlib.contextmanager
def serving(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """Serve connections, a thread each; `answer` gives what is sent for a request's head."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        received = b""
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                received += data
                while (end := received.find(b"\r\n\r\n")) >= 0:
                    head, received = received[:end], received[end + 4 :]
                    connection.sendall(answer(head))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/demo?a=1"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_closed_loop_counts_every_answer_by_its_status() -> None:
    seen: list[bytes] = []

    def answer(head: bytes) -> bytes:
        seen.append(head)
        return REDIRECT if len(seen) % 2 else REFUSAL

    with serving(answer) as url:
        result = run_load(Load(url=url, seconds=0.3, warmup_s=0.0, connections=3, rate=0))
    assert set(result.statuses) == {"302", "503"}
    assert 0 < result.requests <= len(seen)
    assert seen[0].startswith(b"GET /demo?a=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nUser-Agent: Mozilla/5.0" in seen[0]


def test_an_open_loop_asks_for_what_is_due_and_no_more() -> None:
    with serving(lambda _head: REDIRECT) as url:
        result = run_load(Load(url=url, seconds=0.5, warmup_s=0.1, connections=4, rate=200))
    # What is due at the very ends of the window may fall to either side.
    assert abs(result.requests - 100) <= 1
    assert result.statuses == {"302": result.requests}


def test_a_server_that_stalls_cannot_hide_the_requests_that_it_kept_waiting() -> None:
    stalled = threading.Event()

    def answer(_head: bytes) -> bytes:
        if not stalled.is_set():
            stalled.set()
            time.sleep(0.4)
        return REDIRECT

    with serving(answer) as url:
        result = run_load(Load(url=url, seconds=0.6, warmup_s=0.0, connections=1, rate=200))
    # One answer came late; had each request waited for the one before it, only that one would show.
    assert abs(result.requests - 120) <= 1
    assert result.p999_ms >= 390
    assert result.p50_ms >= 50


def test_what_is_never_answered_is_lost() -> None:
    with serving(lambda _head: b"") as url:
        result = run_load(Load(url=url, seconds=0.1, warmup_s=0.0, connections=2, rate=100))
    assert result.requests == 0
    assert result.statuses["lost"] >= 9
    assert result.p50_ms > 1000


def test_links_are_visited_in_turn_and_a_bare_request_is_bare(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def answer(head: bytes) -> bytes:
        seen.append(head)
        return REDIRECT

    slugs = tmp_path / "slugs"
    slugs.write_text("one\ntwo\n")
    with serving(answer) as url:
        run_load(Load(url=url, seconds=0.1, warmup_s=0, connections=1, rate=0, is_bare=True, slugs=slugs))
    host = url.split("/")[2].encode()
    expected = [b"GET /%s?a=1 HTTP/1.1\r\nHost: %s" % (slug, host) for slug in (b"one", b"two", b"one")]
    assert seen[:3] == expected
