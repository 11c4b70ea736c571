"""Links in memory, and custom domains, on the local disk: what a worker starts from without Redis.

A header, then blocks. A block is a MessagePack map, behind its length and its checksum: the first one
from custom domains to their records, every other from keys of links to theirs. The header counts
blocks and links and has a checksum of its own. A file that is damaged,
cut short or of another version is not used at all.

The workers of a host share the file. It is replaced in one step, by one worker at a time, and only
by one that has caught up with Redis, so that a snapshot never grows younger by being copied. When
Redis answers, what was restored counts for nothing: the feed forgets it and fetches the same links
anew. Why it is so: deploy/decisions/0009-local-snapshot.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import tempfile
import time
from glob import escape
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec
import structlog
from xxhash import xxh3_64_intdigest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from edge.link_cache import LinkCache
    from edge.link_feed import LinkFeed

log = structlog.get_logger()

VERSION: Final = 2
WITHOUT_DOMAINS: Final = 1
"""The version before: there were no custom domains, and the first block has links."""
LINKS_PER_BLOCK: Final = 1000
"""Links that are read or collected between two turns of the event loop: less than a millisecond."""

_MAGIC: Final = b"SYLINKS\n"
# magic, version, blocks, links, Unix milliseconds; then the checksum of these.
_HEADER: Final = struct.Struct("<8sIIQQ")
_CHECKSUM: Final = struct.Struct("<Q")
_BLOCK: Final = struct.Struct("<IQ")  # length, checksum

_DRAFT: Final = ".new"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode


class BadSnapshotError(ValueError):
    """A snapshot that cannot be used; the message says why."""


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot as it was read. `written_ms`: Unix milliseconds. `blocks`: checked, not decoded.

    `domains`: the block of custom domains; None when there were none yet.
    """

    written_ms: int
    links: int
    blocks: list[bytes]
    domains: bytes | None


def decode_block(block: bytes) -> dict[str, bytes]:
    """Give the records of a block by key. Raises BadSnapshotError."""
    try:
        return _decode(block)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadSnapshotError(f"a block is not a map of records: {error}") from error


def read_snapshot(path: Path) -> Snapshot:
    """Read and check a snapshot. Raises FileNotFoundError, OSError, BadSnapshotError."""
    with path.open("rb") as file:
        head = file.read(_HEADER.size + _CHECKSUM.size)
        if len(head) < _HEADER.size + _CHECKSUM.size:
            raise BadSnapshotError("it ends within its header")
        magic, version, blocks, links, written_ms = _HEADER.unpack_from(head)
        if magic != _MAGIC:
            raise BadSnapshotError("it is not a snapshot of links")
        if _CHECKSUM.unpack_from(head, _HEADER.size) != (xxh3_64_intdigest(head[: _HEADER.size]),):
            raise BadSnapshotError("its header is damaged")
        if version not in (WITHOUT_DOMAINS, VERSION):
            raise BadSnapshotError(f"it has version {version}, not {VERSION}")
        contents = [_read_block(file) for _ in range(blocks)]
        if version == VERSION and not contents:
            raise BadSnapshotError("it does not say which custom domains there are")
        domains = contents.pop(0) if version == VERSION else None
        snapshot = Snapshot(written_ms, links, contents, domains)
        if file.read(1):
            raise BadSnapshotError("it goes on after its last block")
    return snapshot


def _read_block(file: BinaryIO) -> bytes:
    frame = file.read(_BLOCK.size)
    if len(frame) < _BLOCK.size:
        raise BadSnapshotError("it is cut short")
    length, checksum = _BLOCK.unpack(frame)
    # A length that is damaged may say 4 GiB: no more is reserved than the file has.
    if length > os.fstat(file.fileno()).st_size:
        raise BadSnapshotError("it is cut short")
    block = file.read(length)
    if len(block) < length or xxh3_64_intdigest(block) != checksum:
        raise BadSnapshotError("a block is damaged")
    return block


class SnapshotWriter:
    """Writes a snapshot beside `path`, block by block; `finish` puts it in its place.

    A context manager: left without `finish`, it leaves nothing behind. Every method may raise OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        for left in path.parent.glob(f"{escape(path.name)}.*{_DRAFT}"):  # by a worker that was killed
            left.unlink(missing_ok=True)
        # A name of its own: the thread of a write that was cancelled may still be at the one before.
        descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", suffix=_DRAFT, dir=path.parent)
        self._draft = Path(draft)
        self._file = open(descriptor, "wb")  # noqa: PTH123, SIM115  closed by __exit__
        self._blocks = self._links = 0
        self._file.write(bytes(_HEADER.size + _CHECKSUM.size))

    def write_domains(self, values: dict[str, bytes]) -> None:
        """Write the records of custom domains by domain; links come after that."""
        self._write_block(values)

    def write(self, values: dict[str, bytes]) -> None:
        """Add records of links by key as one block."""
        assert self._blocks, "custom domains come first"
        self._write_block(values)
        self._links += len(values)

    def _write_block(self, values: dict[str, bytes]) -> None:
        block = _encode(values)
        self._file.write(_BLOCK.pack(len(block), xxh3_64_intdigest(block)) + block)
        self._blocks += 1

    def finish(self, written_ms: int) -> None:
        """Put the snapshot in place of the one before. `written_ms`: Unix milliseconds."""
        header = _HEADER.pack(_MAGIC, VERSION, self._blocks, self._links, written_ms)
        self._file.seek(0)
        self._file.write(header + _CHECKSUM.pack(xxh3_64_intdigest(header)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._draft.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        with contextlib.suppress(OSError):  # a full disk: what is buffered is of no use any more
            self._file.close()
        self._draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Try to become the one that writes `path`. Gives whether it worked. Raises OSError."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


class SnapshotKeeper:
    """Restores `cache` from the file `path` when Redis is away, and writes it there every `interval_s`."""

    def __init__(self, path: Path, *, cache: LinkCache, feed: LinkFeed, interval_s: float) -> None:
        self._path = path
        self._cache = cache
        self._feed = feed
        self._interval_s = interval_s
        self._restored_ms = 0
        self.is_read = False
        """Whether what the file has is in memory, or never will be."""
        self._written_revision = self._read_revision()

    def read_age_s(self) -> int | None:
        """Give how old the snapshot is that links are served from; None when they are not."""
        if not self._restored_ms or self._feed.has_begun:
            return None
        return max(0, int(time.time() - self._restored_ms / 1000))

    async def keep(self) -> None:
        """Restore, then write whenever something has changed, until cancelled."""
        await self._restore()
        self.is_read = True
        while True:
            await asyncio.sleep(self._interval_s)
            if not self._is_fresh():
                await self.write()

    async def _restore(self) -> None:
        """Serve from the snapshot until the feed begins; then have it fetch the same links."""
        try:
            snapshot = await asyncio.to_thread(read_snapshot, self._path)
            await self._feed.tried.wait()
            self._restore_domains(snapshot)
            for block in snapshot.blocks:
                values = decode_block(block)
                if self._feed.has_begun:
                    self._feed.renew(values)
                else:
                    self._cache.restore(values)
                    self._restored_ms = snapshot.written_ms
                await asyncio.sleep(0)
        except FileNotFoundError:
            return
        except (OSError, BadSnapshotError) as error:
            log.warning("snapshot_not_used", path=str(self._path), error=str(error))
            return
        log.info("snapshot_read", links=snapshot.links, serving=not self._feed.has_begun)

    def _restore_domains(self, snapshot: Snapshot) -> None:
        domains = {} if snapshot.domains is None else decode_block(snapshot.domains)
        if not self._cache.domains.are_known:
            self._cache.domains.replace(domains)

    def _read_revision(self) -> tuple[int, int]:
        """Give what changes with every change of the links and domains in memory."""
        return self._cache.revision, self._cache.domains.revision

    def _is_fresh(self) -> bool:
        """Tell whether another worker wrote it a moment ago."""
        try:
            age_s = time.time() - self._path.stat().st_mtime
        except OSError:
            return False
        return 0 <= age_s < self._interval_s / 2

    async def write(self) -> None:
        """Write the snapshot, unless nothing has changed or what is in memory may not be all there is."""
        if self._feed.has_caught_up and self._read_revision() != self._written_revision:
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with _lock(self._path) as is_ours:
                    if is_ours:
                        await self._write()
            except OSError as error:
                log.warning("snapshot_not_written", path=str(self._path), error=str(error))

    async def _write(self) -> None:
        revision, beginning = self._read_revision(), self._feed.beginnings
        with SnapshotWriter(self._path) as writer:
            await asyncio.to_thread(writer.write_domains, self._cache.domains.read_values())
            keys = iter(self._cache.list_keys())
            while block := list(islice(keys, LINKS_PER_BLOCK)):
                await asyncio.to_thread(writer.write, self._cache.read_values(block))
            # Begun anew meanwhile: half of it is from before that.
            if self._feed.has_caught_up and self._feed.beginnings == beginning:
                await asyncio.to_thread(writer.finish, time.time_ns() // 1_000_000)
                self._written_revision = revision
