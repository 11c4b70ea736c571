"""A Valkey Cluster of three masters with a replica each, on loopback, from the embedded program."""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from deploy.embedded import EmbeddedValkey, RunningServer, make_server_folder
from deploy.process import StartFailed, is_port_free
from edge.contract.redis_keys import SLOTS, find_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deploy.process import Command

MASTERS: Final = 3
NODE_TIMEOUT_MS: Final = 1000
"""A replica takes over within about twice that."""
PATIENCE_S: Final = 60.0
ATTEMPTS: Final = 5
KEPT_PORTS: Final = range(20_000, 32_000)


class _EmbeddedNode(EmbeddedValkey):
    """An embedded Valkey with what makes it a node of a cluster; it keeps no data on disk."""

    def __init__(self, folder: Path, password: str) -> None:
        super().__init__(folder, password, port=_port_to_keep())
        self.bus_port = _port_to_keep()

    def command(self) -> Command:
        """Describe the process as for a single server, and the cluster's settings with it."""
        more = (
            f"masterauth {self._password}\ncluster-enabled yes\ncluster-port {self.bus_port}\n"
            f"cluster-config-file nodes.conf\ncluster-node-timeout {NODE_TIMEOUT_MS}\n"
            "cluster-require-full-coverage no\ncluster-replica-validity-factor 0\n"
            "repl-diskless-sync-delay 0\nrepl-diskless-load swapdb\nmaxmemory 64mb\n"
        )
        command = super().command()
        return msgspec.structs.replace(command, stdin=(command.stdin or b"") + more.encode())


class Node:
    """A node of the cluster, whose process can be killed, stopped and started."""

    def __init__(self, folder: Path, password: str) -> None:
        embedded = _EmbeddedNode(make_server_folder(folder), password)
        self.server = RunningServer(embedded, embedded.folder.parent / f"{folder.name}.log")
        self.port, self.bus_port = embedded.port, embedded.bus_port
        self.redis = Redis.from_url(embedded.url, socket_timeout=5)

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self.server._process is not None

    @property
    def id(self) -> str:
        """The name that the cluster knows it by."""
        return _text(self.ask("CLUSTER MYID"))

    def ask(self, command: str, *arguments: object) -> Any:
        """Send a command; a connection from before a restart is replaced."""
        self.redis.connection_pool.disconnect()
        return self.redis.execute_command(command, *arguments)  # type: ignore[no-untyped-call]  # redis-py's

    def role(self) -> str:
        """Give master or slave."""
        return _text(self.ask("ROLE")[0])

    def kill(self) -> None:
        """Kill it as a crash would."""
        self.server.kill()

    def start(self) -> None:
        """Start it, if it does not run."""
        self.server.start()


class ValkeyCluster:
    """Three masters and three replicas. Who is which changes; `heal` puts the number right again."""

    def __init__(self, folder: Path, password: str) -> None:
        folder.mkdir(mode=0o711)
        self._password = password
        self.nodes = [_start_node(folder / f"node-{number}", password) for number in range(2 * MASTERS)]

    @property
    def url(self) -> str:
        """What SWITCHYARD_REDIS_URL says of it: three of the six nodes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[::2])
        return f"redis+cluster://:{self._password}@{hosts}"

    def create(self) -> None:
        """Make the nodes a cluster."""
        for epoch, node in enumerate(self.nodes, start=1):
            node.ask("CLUSTER SET-CONFIG-EPOCH", epoch)
        first = self.nodes[0]
        for node in self.nodes[1:]:
            node.ask("CLUSTER MEET", "127.0.0.1", first.port, first.bus_port)
        _await(lambda: all(self._count_known(node) == len(self.nodes) for node in self.nodes))
        bounds = [SLOTS * part // MASTERS for part in range(MASTERS + 1)]
        for number, node in enumerate(self.nodes[:MASTERS]):
            node.ask("CLUSTER ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for master, replica in zip(self.nodes[:MASTERS], self.nodes[MASTERS:], strict=True):
            _await(lambda: _is_done(replica, "CLUSTER REPLICATE", master.id))  # noqa: B023  awaited here
        self.heal()

    def heal(self) -> None:
        """Bring the cluster back to three masters with their replicas, all of them empty."""
        self.await_whole()
        for node in self.masters():
            node.ask("FLUSHALL")

    def await_whole(self) -> None:
        """Start what was killed, and wait until every master has its replica again."""
        for node in self.nodes:
            node.start()
        _await(self._is_whole)

    def masters(self) -> list[Node]:
        """Give the nodes that are masters and run."""
        return [node for node in self.nodes if node.is_running and node.role() == "master"]

    def master_of(self, key: str) -> Node:
        """Give the master that holds a key, as a running node sees it."""
        asked = next(node for node in self.nodes if node.is_running)
        for first, last, master, *_replicas in asked.ask("CLUSTER SLOTS"):
            if first <= find_slot(key) <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise AssertionError(f"nobody has {key}")

    def replica_of(self, master: Node) -> Node:
        """Give the replica of a master."""
        for node in self.nodes:
            if node.is_running and (role := node.ask("ROLE"))[0] == b"slave" and role[2] == master.port:
                return node
        raise AssertionError(f"the master on port {master.port} has no replica")

    def await_takeover(self, replica: Node) -> None:
        """Wait until a replica has become a master, and everyone knows."""
        _await(lambda: replica.role() == "master")
        _await(lambda: all(self._agrees(node, replica) for node in self.nodes if node.is_running))

    def stop(self) -> None:
        """Stop every node."""
        for node in self.nodes:
            node.redis.close()
            node.server.kill()

    def move_slot(self, slot: int, source: Node, target: Node) -> Iterator[str]:
        """Move a slot as operators' tools do; yields the name of each state that it is in."""
        target.ask("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        yield "announced"
        while keys := source.ask("CLUSTER GETKEYSINSLOT", slot, 100):
            source.ask(
                "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", self._password, "KEYS", *keys
            )
        yield "moved"
        for node in (target, source):
            node.ask("CLUSTER SETSLOT", slot, "NODE", target.id)
        yield "settled"

    def _agrees(self, node: Node, master: Node) -> bool:
        return any(entry[2][1] == master.port for entry in node.ask("CLUSTER SLOTS"))

    def _is_whole(self) -> bool:
        with contextlib.suppress(RedisError):
            roles = [node.ask("ROLE") for node in self.nodes]
            linked = [role for role in roles if role[0] == b"slave" and role[3] == b"connected"]
            leading = [role for role in roles if role[0] == b"master" and len(role[2]) == 1]
            states = [node.ask("CLUSTER INFO") for node in self.nodes]
            is_ok = all(state.get("cluster_state") == "ok" for state in states)
            return is_ok and len(linked) == len(leading) == MASTERS
        return False

    def _count_known(self, node: Node) -> int:
        return int(node.ask("CLUSTER INFO")["cluster_known_nodes"])


def _start_node(folder: Path, password: str) -> Node:
    """Start a node; with other ports, if somebody took one of them a moment before."""
    for attempt in range(ATTEMPTS):
        node = Node(folder.with_name(f"{folder.name}-{attempt}"), password)
        try:
            node.start()
        except StartFailed:
            node.server.kill()
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return node
    raise AssertionError("unreachable")


def _port_to_keep() -> int:
    """Give a port below those that the system gives to outgoing connections.

    A node that was killed must find its port free when it is started again.
    """
    for port in random.sample(KEPT_PORTS, 1000):
        if is_port_free(port):
            return port
    raise AssertionError(f"no port in {KEPT_PORTS} is free")


def _is_done(node: Node, command: str, *arguments: object) -> bool:
    with contextlib.suppress(RedisError):
        return bool(node.ask(command, *arguments))
    return False


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _await(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "the cluster did not settle"
        time.sleep(0.05)
