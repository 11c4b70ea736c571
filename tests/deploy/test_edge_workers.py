from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from deploy.edge_workers import EdgeSockets
from edge.servers.listening import NEIGHBOUR_SOCKETS, OWN_SOCKETS

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIX, TCP = socket.AF_UNIX, socket.AF_INET


@pytest.fixture
def bound() -> Iterator[list[socket.socket]]:
    sockets = [socket.socket(family) for family in (TCP, TCP, TCP, UNIX)]
    yield sockets
    for one in sockets:
        one.close()


def read(sockets: EdgeSockets, worker: int) -> tuple[set[int], set[int]]:
    variables = sockets.describe(worker)
    own, neighbours = (variables[name].split(",") for name in (OWN_SOCKETS, NEIGHBOUR_SOCKETS))
    return {int(number) for number in own if number}, {int(number) for number in neighbours if number}


@pytest.mark.parametrize(
    ("workers", "own"),
    [
        (1, [{0, 1, 2}]),
        (2, [{0, 2}, {1}]),
        (3, [{0}, {1}, {2}]),
        (5, [{0}, {1}, {2}, {0}, {1}]),
    ],
)
def test_every_socket_is_somebodys_and_a_path_everybodys(
    bound: list[socket.socket], workers: int, own: list[set[int]]
) -> None:
    sockets = EdgeSockets(bound, workers)
    for worker, ports in enumerate(own):
        mine = {bound[number].fileno() for number in ports}
        others = {one.fileno() for one in bound[:3]} - mine
        assert read(sockets, worker) == (mine | {bound[3].fileno()}, others)


def test_a_path_alone_is_enough(bound: list[socket.socket]) -> None:
    sockets = EdgeSockets(bound[3:], 2)
    assert read(sockets, 1) == ({bound[3].fileno()}, set())


def test_what_is_closed_is_handed_down_no_more(bound: list[socket.socket]) -> None:
    sockets = EdgeSockets(bound, 2)
    assert sockets.descriptors == tuple(one.fileno() for one in bound)
    sockets.close()
    assert sockets.descriptors == ()
