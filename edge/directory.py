"""Whose project or API key something is that comes in: asked of Redis, and remembered for a moment.

What Redis said counts for TRUE_FOR_S, then it is asked again: so a project that was paused, or a key that
was revoked, is so everywhere within about a second, and no worker has to hear of every change.

While Redis is away, what is known stays true, and of what is not known nobody can say whether it exists:
DirectoryUnavailableError, never None. So it is too with a Redis that came back empty and is not
filled again: the marker of the first group of links vouches for what is missing (readiness.py).

Everything that is remembered is bounded. Who asks for what is being asked for already waits for that
answer, and what is asked for meanwhile shares the next round trip.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

import structlog

from edge.contract import redis_keys
from edge.contract.intake_record import (
    INTAKE_KEY_PREFIX,
    BadIntakeRecordError,
    IntakeKeyRecord,
    ProjectRecord,
    decode_intake_key,
    decode_project,
)
from edge.contract.key_format import hash_secret, is_well_formed
from edge.contract.readiness import ASK_HISTORY, is_marker_of, read_history
from edge.contract.redis_shards import REDIS_FAULTS
from edge.link_cache import RecentKeys
from edge.redis_client import open_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = structlog.get_logger()

TRUE_FOR_S: Final = 1.0
"""How long an answer of Redis is believed, from the moment at which it was asked."""
RECORDS_KEPT: Final = 20_000
"""Of each kind, at some 500 bytes. The one that was asked for longest ago has to go."""
UNKNOWN_KEPT: Final = 50_000
"""Of each kind: how many are remembered not to exist, for TRUE_FOR_S."""
WAITING_AT_ONCE: Final = 1000
"""Bounds what a flood of made-up projects may hold in memory."""
ASKED_TOGETHER: Final = 200
"""In one round trip, which takes the event loop about a millisecond."""
AWAY_S: Final = 0.25
"""How long a Redis that did not answer is not asked again."""


class Stale(enum.Enum):
    """What the memory says when it cannot tell."""

    STALE = "stale"


STALE: Final = Stale.STALE

Record = TypeVar("Record", bound=ProjectRecord | IntakeKeyRecord)
Remembered: TypeAlias = Record | Literal[Stale.STALE] | None


class DirectoryUnavailableError(Exception):
    """It is not known whether there is such a project or key, and Redis cannot say."""


class _Known(Generic[Record]):
    """A record, and when Redis was asked for it. `asked_s`: monotonic seconds."""

    __slots__ = ("asked_s", "record")

    def __init__(self, record: Record, asked_s: float) -> None:
        self.record = record
        self.asked_s = asked_s


class _Table(Generic[Record]):
    """What is remembered of one hash in Redis. `name`: the hash. `field`: see redis_keys."""

    def __init__(self, name: str, decode: Callable[[bytes], Record]) -> None:
        self.name = name
        self.waiting: dict[str, asyncio.Future[Record | None]] = {}
        self._decode = decode
        self._known: OrderedDict[str, _Known[Record]] = OrderedDict()
        self._unknown = RecentKeys(size=UNKNOWN_KEPT, ttl_s=TRUE_FOR_S)

    def __len__(self) -> int:
        return len(self._known) + len(self._unknown)

    def recall(self, field: str, now_s: float) -> Remembered[Record]:
        """Give what Redis said a moment ago; STALE if that was longer ago, or never."""
        known = self._known.get(field)
        if known is not None:
            return known.record if now_s - known.asked_s < TRUE_FOR_S else STALE
        return None if self._unknown.holds(field, now_s) else STALE

    def take_over(
        self, field: str, value: bytes | None, asked_s: float, *, is_vouched_for: bool
    ) -> Record | None:
        """Remember an answer of Redis. `is_vouched_for`: whether it has whatever there is.

        Raises DirectoryUnavailableError when that tells nothing.
        """
        if value is None and is_vouched_for:
            self._known.pop(field, None)
            self._unknown.add(field, asked_s)
            return None
        known = self._known.get(field)
        if value is None:
            return self.keep_on(field, asked_s)
        try:
            record = self._decode(value)
        except BadIntakeRecordError:
            log.exception("intake_record_unreadable", field=field, hash=self.name)
            return self.keep_on(field, asked_s)
        if known is not None and record.version < known.record.version and not is_vouched_for:
            record = known.record  # from an old dump, until that is made good
        self._unknown.discard(field)
        self._known[field] = _Known(record, asked_s)
        self._known.move_to_end(field)
        if len(self._known) > RECORDS_KEPT:
            self._known.popitem(last=False)
        return record

    def keep_on(self, field: str, asked_s: float) -> Record:
        """Go on with what is known. Raises DirectoryUnavailableError when nothing is."""
        known = self._known.get(field)
        if known is None:
            raise DirectoryUnavailableError("Redis cannot say whether it exists")
        known.asked_s = asked_s
        return known.record

    def settle(self, field: str, found: Record | DirectoryUnavailableError | None) -> None:
        """Tell those who wait."""
        waiting = self.waiting.pop(field)
        if isinstance(found, DirectoryUnavailableError):
            waiting.set_exception(found)
            waiting.exception()  # seen, though everybody who waited may be gone
        else:
            waiting.set_result(found)


_Question: TypeAlias = tuple[_Table[Any], str]


class Directory:
    """Projects and API keys as Redis has them. Whether they are active is for the caller to judge."""

    def __init__(self, redis_url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = open_redis(redis_url)
        self._clock = clock
        self._projects = _Table(redis_keys.projects(), decode_project)
        self._keys = _Table(redis_keys.intake_keys(), decode_intake_key)
        self._questions: list[_Question] = []
        self._asking: asyncio.Task[None] | None = None
        self._away_until_s = -AWAY_S

    def known_project(self, project_id: bytes) -> Remembered[ProjectRecord]:
        """Find a project in memory; None when there is none, STALE when Redis has to be asked."""
        return self._projects.recall(project_id.hex(), self._clock())

    async def find_project(self, project_id: bytes) -> ProjectRecord | None:
        """Find a project; None when there is none. Raises DirectoryUnavailableError."""
        return await self._find(self._projects, project_id.hex())

    def known_key(self, secret: str) -> Remembered[IntakeKeyRecord]:
        """Find an API key in memory; None when there is none, STALE when Redis has to be asked.

        What cannot be a key, by its prefix or checksum, is none at once.
        """
        field = _find_key_field(secret)
        return None if field is None else self._keys.recall(field, self._clock())

    async def find_key(self, secret: str) -> IntakeKeyRecord | None:
        """Find an API key; None when there is none. Raises DirectoryUnavailableError."""
        field = _find_key_field(secret)
        return None if field is None else await self._find(self._keys, field)

    async def aclose(self) -> None:
        """Give up what is being asked, and close the connection."""
        while self._asking is not None and not self._asking.done():
            self._asking.cancel()  # again and again: redis-py may swallow a cancellation, see worker.py
            await asyncio.wait([self._asking], timeout=0.05)
        self._give_up()  # a task that never ran has not
        await self._redis.aclose()

    async def _find(self, table: _Table[Record], field: str) -> Record | None:
        now_s = self._clock()
        remembered = table.recall(field, now_s)
        if remembered is not STALE:
            return remembered
        found = table.waiting.get(field)
        if found is None:
            if now_s < self._away_until_s:
                return table.keep_on(field, now_s)
            if len(self._projects.waiting) + len(self._keys.waiting) >= WAITING_AT_ONCE:
                return table.keep_on(field, now_s)
            found = table.waiting[field] = asyncio.get_running_loop().create_future()
            self._questions.append((table, field))
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(found)

    async def _ask_all(self) -> None:
        """Ask Redis until no question is left."""
        try:
            while self._questions:
                some, self._questions = (
                    self._questions[:ASKED_TOGETHER],
                    self._questions[ASKED_TOGETHER:],
                )
                await self._ask(some)
        finally:
            self._give_up()

    def _give_up(self) -> None:
        """Leave nobody waiting: nobody does unless by a fault of ours, or at the end of the worker."""
        self._questions = []
        for table in (self._projects, self._keys):
            for field in list(table.waiting):
                table.settle(field, DirectoryUnavailableError("the look-up was given up"))

    async def _ask(self, questions: Sequence[_Question]) -> None:
        asked_s = self._clock()
        try:
            values, is_vouched_for = await self._redis.try_twice(partial(self._read, questions))
        except REDIS_FAULTS as error:
            log.warning("directory_unavailable", error=str(error) or type(error).__name__)
            now_s = self._clock()
            self._away_until_s = now_s + AWAY_S
            for table, field in questions:
                table.settle(field, _or_unavailable(partial(table.keep_on, field, now_s)))
            return
        for (table, field), value in zip(questions, values, strict=True):
            take_over = partial(table.take_over, field, value, asked_s, is_vouched_for=is_vouched_for)
            table.settle(field, _or_unavailable(take_over))

    async def _read(self, questions: Sequence[_Question]) -> tuple[list[bytes | None], bool]:
        """Read values, and whether those that are missing do not exist.

        All in one transaction: what vouches for the values was true when they were read.
        """
        async with (
            self._redis.at(redis_keys.projects()) as redis,
            redis.pipeline(transaction=True) as pipe,
        ):
            for table, field in questions:
                pipe.hget(table.name, field)
            pipe.get(redis_keys.links_ready(0))
            pipe.execute_command(ASK_HISTORY)
            *values, marker, answer = await pipe.execute()
        return values, is_marker_of(marker, read_history(answer))


def _or_unavailable(
    look: Callable[[], ProjectRecord | IntakeKeyRecord | None],
) -> ProjectRecord | IntakeKeyRecord | DirectoryUnavailableError | None:
    try:
        return look()
    except DirectoryUnavailableError as error:
        return error


def _find_key_field(secret: str) -> str | None:
    return hash_secret(secret).hex() if is_well_formed(secret, INTAKE_KEY_PREFIX) else None
