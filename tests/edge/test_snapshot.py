from __future__ import annotations

import asyncio
import errno
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from edge.contract.events import Click, decode_event, read_chunk, split_frames
from edge.contract.link_record import LinkRecord, LinkState
from edge.contract.redis_keys import events
from edge.link_cache import LinkCache
from edge.link_feed import LinkFeed
from edge.settings import Settings, snapshot_path
from edge.snapshot import (
    BadSnapshotError,
    SnapshotKeeper,
    SnapshotWriter,
    _lock,
    decode_block,
    read_snapshot,
)
from edge.worker import end_tasks
from tests.edge.factories import declare_ready, make_link, publish, publish_domain
from tests.edge.processes import EdgeProcesses
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from tests.conftest import TestServer

VALUES = {f"slug-{number}": b"record %d" % number for number in range(5)}


def write(
    path: Path, *blocks: dict[str, bytes], written_ms: int = 7, domains: dict[str, bytes] | None = None
) -> bytes:
    with SnapshotWriter(path) as writer:
        writer.write_domains(domains or {})
        for block in blocks:
            writer.write(block)
        writer.finish(written_ms)
    return path.read_bytes()


def read(content: bytes) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "links"
        path.write_bytes(content)
        return read_links(path)


def read_links(path: Path) -> dict[str, bytes]:
    links: dict[str, bytes] = {}
    for block in read_snapshot(path).blocks:
        links |= decode_block(block)
    return links


@pytest.fixture(scope="module")
def content() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "links", VALUES, {"other": b"record"})


class TestFile:
    def test_what_was_written_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "links"
        write(path, VALUES, {}, {"other": b"record"}, written_ms=123)
        snapshot = read_snapshot(path)
        assert (snapshot.links, snapshot.written_ms) == (6, 123)
        assert read_links(path) == VALUES | {"other": b"record"}
        assert list(tmp_path.iterdir()) == [path]
        assert path.stat().st_mode & 0o077 == 0

    def test_a_snapshot_without_links_is_one(self, tmp_path: Path) -> None:
        write(tmp_path / "links")
        assert read_links(tmp_path / "links") == {}

    def test_custom_domains_are_apart_from_links(self, tmp_path: Path) -> None:
        path = tmp_path / "links"
        write(path, VALUES, domains={"go.acme.example": b"record"})
        snapshot = read_snapshot(path)
        assert snapshot.links == len(VALUES)
        assert snapshot.domains is not None
        assert decode_block(snapshot.domains) == {"go.acme.example": b"record"}
        assert read_links(path) == VALUES

    def test_one_from_before_there_were_custom_domains_has_none(self, tmp_path: Path) -> None:
        path = tmp_path / "links"
        block = msgspec.msgpack.encode(VALUES)
        header = struct.pack("<8sIIQQ", b"SYLINKS\n", 1, 1, len(VALUES), 7)
        frame = struct.pack("<IQ", len(block), xxh3_64_intdigest(block))
        path.write_bytes(header + struct.pack("<Q", xxh3_64_intdigest(header)) + frame + block)
        assert read_snapshot(path).domains is None
        assert read_links(path) == VALUES

    @given(data=st.data())
    def test_any_flipped_bit_is_noticed(self, content: bytes, data: st.DataObject) -> None:
        bit = data.draw(st.integers(0, len(content) * 8 - 1))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSnapshotError):
            read(bytes(damaged))

    def test_any_cut_is_noticed(self, content: bytes) -> None:
        for length in range(len(content)):
            with pytest.raises(BadSnapshotError):
                read(content[:length])
        with pytest.raises(BadSnapshotError, match="goes on"):
            read(content + b"\0")

    @given(st.binary(max_size=200))
    def test_what_is_no_snapshot_is_refused(self, content: bytes) -> None:
        with pytest.raises(BadSnapshotError):
            read(content)

    def test_another_version_is_refused(self, content: bytes) -> None:
        header = bytearray(content[:32])
        struct.pack_into("<I", header, 8, 3)
        with pytest.raises(BadSnapshotError, match="version 3"):
            read(bytes(header) + struct.pack("<Q", xxh3_64_intdigest(bytes(header))) + content[40:])

    @pytest.mark.parametrize("block", [b"", b"\xc1", b"\x81\xa1\xff\xc4\0", b"\x90", b"\x81\xa1a\x01"])
    def test_a_block_that_is_no_map_of_records_is_refused(self, block: bytes) -> None:
        with pytest.raises(BadSnapshotError, match="map"):
            decode_block(block)

    def test_a_snapshot_that_is_not_finished_leaves_the_one_before(self, tmp_path: Path) -> None:
        path = tmp_path / "links"
        before = write(path, VALUES)
        with SnapshotWriter(path) as writer:
            writer.write_domains({})
            writer.write({"other": b"record"})
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_what_a_killed_writer_left_is_swept_away(self, tmp_path: Path) -> None:
        (tmp_path / "links.abc.new").write_bytes(b"half")
        (tmp_path / "journal").mkdir()
        write(tmp_path / "links", VALUES)
        assert {path.name for path in tmp_path.iterdir()} == {"links", "journal"}


class Host:
    """A worker's cache, feed and keeper, without a server."""

    def __init__(self, path: Path, redis_url: str, interval_s: float = 0.05) -> None:
        self.cache = LinkCache(size=10_000, unknown_ttl_s=60)
        self.feed = LinkFeed(redis_url, self.cache)
        self.keeper = SnapshotKeeper(path, cache=self.cache, feed=self.feed, interval_s=interval_s)
        self.tasks = [
            asyncio.create_task(task())
            for task in (self.feed.follow, self.feed.keep_renewing, self.keeper.keep)
        ]

    async def stop(self) -> None:
        await end_tasks(self.tasks)
        await self.feed.aclose()


@pytest.fixture
async def hosts() -> AsyncIterator[list[Host]]:
    running: list[Host] = []
    yield running
    for host in running:
        assert not any(task.done() for task in host.tasks)
        await host.stop()


def list_folder(path: Path) -> list[Path]:
    return list(path.iterdir())


def snapshot_of(*links: LinkRecord) -> dict[str, bytes]:
    return {link.slug: msgspec.msgpack.encode(link) for link in links}


class TestKeeping:
    async def test_what_is_cached_is_written_when_it_has_changed(
        self, tmp_path: Path, redis_url: str, redis: Redis, hosts: list[Host]
    ) -> None:
        path = tmp_path / "new folder" / "links"
        await publish(redis, make_link())
        await declare_ready(redis)
        hosts.append(host := Host(path, redis_url))
        await eventually(lambda: host.feed.is_ready)
        await host.feed.load("summer")
        await eventually(lambda: path.exists() and read_links(path) == snapshot_of(make_link()))
        await publish(redis, make_link(version=2))
        await eventually(lambda: read_links(path) == snapshot_of(make_link(version=2)))
        inode = path.stat().st_ino
        await host.keeper.write()
        assert path.stat().st_ino == inode

    async def test_a_worker_that_starts_beside_redis_fetches_what_the_snapshot_names(
        self, tmp_path: Path, redis_url: str, redis: Redis, hosts: list[Host]
    ) -> None:
        path = tmp_path / "links"
        links = [make_link(slug=f"slug-{number}") for number in range(2500)]
        newest = [msgspec.structs.replace(link, version=2) for link in links[:-1]]
        write(path, snapshot_of(*links[:2000]), snapshot_of(*links[2000:]))
        await publish(redis, *newest)
        await declare_ready(redis)
        hosts.append(host := Host(path, redis_url))
        await eventually(lambda: len(host.cache) == 2499)
        assert host.cache.read_values(host.cache.list_keys()) == snapshot_of(*newest)
        assert host.keeper.read_age_s() is None
        await eventually(lambda: host.feed.has_caught_up)

    async def test_until_redis_has_every_link_they_come_from_the_snapshot(
        self, tmp_path: Path, redis_url: str, redis: Redis, hosts: list[Host]
    ) -> None:
        path = tmp_path / "links"
        before = write(path, snapshot_of(make_link(), make_link(slug="spring")), written_ms=1000)
        hosts.append(host := Host(path, redis_url))
        await eventually(lambda: "summer" in host.cache)
        age_s = host.keeper.read_age_s()
        assert age_s is not None
        assert age_s > 1_000_000_000
        await host.keeper.write()
        assert path.read_bytes() == before  # what is served from it does not make it younger
        await publish(redis, make_link(version=2))
        await declare_ready(redis)
        await eventually(lambda: host.feed.has_caught_up and "summer" in host.cache)
        assert "spring" not in host.cache
        assert await host.feed.load("spring") is None
        assert host.keeper.read_age_s() is None
        await eventually(lambda: read_links(path) == snapshot_of(make_link(version=2)))

    async def test_while_another_worker_writes_nothing_is_written(
        self, tmp_path: Path, redis_url: str, redis: Redis, hosts: list[Host]
    ) -> None:
        path = tmp_path / "links"
        await publish(redis, make_link())
        await declare_ready(redis)
        hosts.append(host := Host(path, redis_url, interval_s=60))
        await eventually(lambda: host.feed.is_ready)
        await host.feed.load("summer")
        with _lock(path) as is_ours:
            assert is_ours
            await host.keeper.write()
            assert not path.exists()
        await host.keeper.write()
        assert read_links(path) == snapshot_of(make_link())

    async def test_a_folder_that_cannot_be_made_disturbs_nobody(
        self, tmp_path: Path, redis_url: str, redis: Redis, hosts: list[Host]
    ) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"")
        await publish(redis, make_link())
        await declare_ready(redis)
        hosts.append(host := Host(file / "links", redis_url))
        await eventually(lambda: host.feed.is_ready)
        await host.feed.load("summer")
        await host.keeper.write()
        assert host.cache.get("summer")

    async def test_a_disk_that_is_full_leaves_nothing_and_is_tried_again(
        self,
        tmp_path: Path,
        redis_url: str,
        redis: Redis,
        hosts: list[Host],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(*_arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        await publish(redis, make_link())
        await declare_ready(redis)
        hosts.append(host := Host(tmp_path / "links", redis_url, interval_s=60))
        await eventually(lambda: host.feed.is_ready)
        await host.feed.load("summer")
        with monkeypatch.context() as patch:
            patch.setattr("edge.snapshot.os.fsync", fail)
            await host.keeper.write()
        assert {left.name for left in list_folder(tmp_path)} == {"links.lock"}
        await host.keeper.write()
        assert read_links(tmp_path / "links") == snapshot_of(make_link())

    async def test_custom_domains_come_back_with_their_links(
        self, tmp_path: Path, redis_url: str, redis: Redis, hosts: list[Host]
    ) -> None:
        path, link = tmp_path / "links", make_link(domain="go.acme.example")
        await publish_domain(redis, "go.acme.example")
        await publish(redis, link)
        await declare_ready(redis)
        hosts.append(host := Host(path, redis_url))
        await eventually(lambda: host.feed.is_ready)
        await host.feed.load(link.key)
        await eventually(
            lambda: path.exists() and read_links(path) == {link.key: msgspec.msgpack.encode(link)}
        )
        await redis.flushall()
        hosts.append(later := Host(path, redis_url))
        await eventually(lambda: link.key in later.cache)
        assert later.cache.domains.by_host["go.acme.example"].tenant_id == link.tenant_id

    async def test_a_change_of_a_domain_alone_is_written(
        self, tmp_path: Path, redis_url: str, redis: Redis, hosts: list[Host]
    ) -> None:
        path = tmp_path / "links"
        await declare_ready(redis)
        hosts.append(host := Host(path, redis_url))
        await eventually(lambda: host.feed.is_ready and path.exists())
        await publish_domain(redis, "go.acme.example")
        await eventually(lambda: b"go.acme.example" in (read_snapshot(path).domains or b""))

    def test_it_lies_beside_the_journals_or_where_it_is_told(self) -> None:
        settings = Settings(redis_url="redis://localhost", journal_dir="/data/journal")
        assert snapshot_path(settings) == Path("/data/journal.links")
        elsewhere = msgspec.structs.replace(settings, snapshot_dir="/cache")
        assert snapshot_path(elsewhere) == Path("/cache/journal.links")


@pytest.fixture
async def edge(tmp_path: Path, redis_url: str, redis: Redis) -> AsyncIterator[EdgeProcesses]:
    """A worker that has written its snapshot of two links."""
    await publish(redis, make_link(), make_link(slug="spring"))
    await declare_ready(redis)
    processes = EdgeProcesses(tmp_path, redis_url, snapshot_s=0.1)
    processes.start()
    await processes.ready()
    for name in ("summer", "spring"):
        assert processes.get(f"/{name}?before")[0] == 302
    path = snapshot_file(processes)
    await eventually(lambda: path.exists() and len(read_links(path)) == 2)
    yield processes
    processes.kill()


def snapshot_file(edge: EdgeProcesses) -> Path:
    return edge.journals.with_name(f"{edge.journals.name}.links")


async def restart_without_redis(edge: EdgeProcesses, valkey_server: TestServer) -> None:
    valkey_server.kill()
    edge.kill()
    edge.start()
    await eventually(lambda: edge.get("/_/health/live")[0] == 200, timeout_s=20)


class TestRestart:
    async def test_known_links_redirect_and_their_clicks_are_kept(
        self, edge: EdgeProcesses, redis: Redis, valkey_server: TestServer
    ) -> None:
        await restart_without_redis(edge, valkey_server)
        await edge.ready()
        for number in range(20):
            assert edge.get(f"/summer?after-{number}")[0] == 302
        assert edge.get("/winter")[0] == 503
        health = edge.health()
        assert health is not None
        assert health.ready
        assert not health.links_ready
        assert health.snapshot_age_s is not None
        assert health.snapshot_age_s < 60
        assert any("snapshot" in problem for problem in health.problems)
        valkey_server.start()
        await redis.connection_pool.disconnect()
        expected = {"before", *(f"after-{number}" for number in range(20))}
        await eventually(lambda: _holds_clicks(redis, expected))

    async def test_a_link_that_was_deleted_meanwhile_is_not_brought_back(
        self, edge: EdgeProcesses, redis: Redis, valkey_server: TestServer
    ) -> None:
        await restart_without_redis(edge, valkey_server)
        await edge.ready()
        assert edge.get("/summer")[0] == edge.get("/spring")[0] == 302
        valkey_server.start()
        await redis.connection_pool.disconnect()
        await publish(redis, make_link(version=2, state=LinkState.DELETED))
        await declare_ready(redis, "2")
        await eventually(lambda: (health := edge.health()) and health.links_ready)
        assert edge.get("/summer")[0] == 410
        assert edge.get("/spring")[0] == 404
        health = edge.health()
        assert health is not None
        assert health.snapshot_age_s is None
        deleted = snapshot_of(make_link(version=2, state=LinkState.DELETED))
        await eventually(lambda: read_links(snapshot_file(edge)) == deleted)

    async def test_a_damaged_snapshot_is_reported_and_not_used(
        self, edge: EdgeProcesses, redis: Redis, valkey_server: TestServer
    ) -> None:
        edge.kill()
        content = bytearray(snapshot_file(edge).read_bytes())
        content[-1] ^= 1
        snapshot_file(edge).write_bytes(content)
        await restart_without_redis(edge, valkey_server)
        await eventually(lambda: "snapshot_not_used" in edge.log())
        assert edge.get("/summer")[0] == 503
        assert edge.get("/_/health/ready")[0] == 503
        valkey_server.start()
        await redis.connection_pool.disconnect()
        await publish(redis, make_link())
        await declare_ready(redis, "2")
        await edge.ready()
        assert edge.get("/summer")[0] == 302

    async def test_a_worker_that_is_stopped_writes_what_it_has(
        self, tmp_path: Path, redis_url: str, redis: Redis
    ) -> None:
        await publish(redis, make_link())
        await declare_ready(redis)
        processes = EdgeProcesses(tmp_path, redis_url, snapshot_s=3600)
        processes.start()
        await processes.ready()
        assert processes.get("/summer", method="HEAD")[0] == 302
        assert await processes.terminate() == [0]
        assert read_links(snapshot_file(processes)) == snapshot_of(make_link())


async def _holds_clicks(redis: Redis, queries: set[str]) -> bool:
    entries: Any = await redis.xrange(events(0))
    chunks = [read_chunk(fields) for _entry_id, fields in entries]
    shipped = [decode_event(payload) for chunk in chunks for payload in split_frames(chunk.body)]
    return queries <= {event.query for event in shipped if isinstance(event, Click)}
