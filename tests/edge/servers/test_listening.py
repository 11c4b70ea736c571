from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from edge.servers.listening import bind_all
from edge.settings import Settings
from tests.edge.servers.raw_client import RawClient, get
from tests.edge.servers.wire_thread import WireThread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def deaf() -> Iterator[WireThread]:
    """A server whose event loop accepts nothing any more: so it ends when accepting fails."""
    with WireThread() as edge:
        edge._loop.call_soon_threadsafe(edge.server._listeners[0].close)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), edge._loop).result(10)
        yield edge


class TestQueue:
    def test_what_waits_in_vain_is_accepted(self, deaf: WireThread) -> None:
        with deaf.connect() as client:
            client.send(get())
            deaf._loop.call_soon_threadsafe(deaf.server.look_after, [])
            answer = client.answer()
        assert answer is not None
        assert answer.status == 200

    def test_what_waits_in_a_neighbours_queue_is_accepted(self) -> None:
        with WireThread() as edge, socket.create_server(("127.0.0.1", 0)) as neighbour:
            neighbour.setblocking(False)
            edge._loop.call_soon_threadsafe(edge.server.look_after, [neighbour])
            for _ in range(2):
                with RawClient(neighbour.getsockname()) as client:
                    answer = client.send(get()).answer()
                    assert answer is not None
                    assert answer.status == 200

    def test_what_waits_when_the_server_stops_is_served(self, deaf: WireThread) -> None:
        with deaf.connect() as client:
            client.send(get())
            asyncio.run_coroutine_threadsafe(deaf.server.drain(10, 5), deaf._loop)
            assert client.statuses() == [200]

    def test_a_connection_may_send_its_last_request_before_the_server_stops(self) -> None:
        with WireThread() as edge, edge.connect() as client:
            assert client.send(get()).answer()
            asyncio.run_coroutine_threadsafe(edge.server.drain(20, 10), edge._loop)
            while not edge.server.is_draining:
                pass
            answer = client.send(get()).answer()
            assert answer is not None
            assert answer.headers["connection"] == "close"
            assert client.is_closed()


class TestBinding:
    def test_a_port_of_the_systems_choice_is_the_same_for_all(self) -> None:
        bound = bind_all(Settings(redis_url="redis://127.0.0.1", edge_port=0), ports=3)
        assert len({one.getsockname() for one in bound}) == 1
        for one in bound:
            one.close()

    def test_a_port_that_is_taken_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(ValueError, match=f"SWITCHYARD_EDGE_PORT: cannot listen on 127.0.0.1:{port}"):
                bind_all(Settings(redis_url="redis://127.0.0.1", edge_port=port), ports=1)

    def test_a_host_that_is_none_is_named(self) -> None:
        with pytest.raises(ValueError, match="SWITCHYARD_EDGE_HOST"):
            bind_all(Settings(redis_url="redis://127.0.0.1", edge_host="no such host"), ports=1)

    def test_a_path_takes_the_place_of_what_an_earlier_worker_left(self, tmp_path: Path) -> None:
        path = tmp_path / "edge.sock"
        settings = Settings(redis_url="redis://127.0.0.1", edge_port=0, edge_socket=str(path))
        for _ in range(2):
            port, listening = bind_all(settings, ports=1)
            with RawClient(str(path)):
                listening.accept()[0].close()
            port.close()
            listening.close()
        assert list(tmp_path.iterdir()) == [path]
