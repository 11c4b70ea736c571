"""What a worker knows of projects and API keys, and what it says while Redis cannot."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from edge import directory as module
from edge.contract import redis_keys
from edge.directory import AWAY_S, STALE, TRUE_FOR_S, WAITING_AT_ONCE, Directory, DirectoryUnavailableError
from tests.edge.directories import (
    KEY,
    PROJECT,
    make_intake_key,
    make_project,
    publish_intake_key,
    publish_project,
)
from tests.edge.factories import declare_ready, set_markers
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

    from tests.conftest import TestServer

NEVER_MADE = bytes(15) + b"\x63"


class Clock:
    """Monotonic seconds, which pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def tick(self, seconds: float = TRUE_FOR_S) -> None:
        self.now_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def directory(redis_url: str, clock: Clock) -> AsyncIterator[Directory]:
    directory = Directory(redis_url, clock=clock)
    yield directory
    await directory.aclose()


def count_asked(directory: Directory) -> list[list[str]]:
    """Note what is asked of Redis from now on, by round trip."""
    trips, read = list[list[str]](), directory._read

    async def read_and_note(questions: list[module._Question]) -> tuple[list[bytes | None], bool]:
        trips.append([field for _table, field in questions])
        return await read(questions)

    directory._read = read_and_note  # type: ignore[method-assign, assignment]  # this test's own
    return trips


class TestProjects:
    async def test_one_is_found_and_remembered(self, directory: Directory, redis: Redis) -> None:
        await publish_project(redis, make_project())
        await declare_ready(redis)
        assert directory.known_project(PROJECT) is STALE
        assert await directory.find_project(PROJECT) == make_project()
        assert directory.known_project(PROJECT) == make_project()

    async def test_a_change_is_seen_once_a_second_has_passed(
        self, directory: Directory, redis: Redis, clock: Clock
    ) -> None:
        await publish_project(redis, make_project())
        await declare_ready(redis)
        await directory.find_project(PROJECT)
        paused = make_project(version=2, is_active=False)
        await publish_project(redis, paused)
        clock.tick(TRUE_FOR_S - 0.001)
        assert await directory.find_project(PROJECT) == make_project()
        clock.tick(0.001)
        assert directory.known_project(PROJECT) is STALE
        assert await directory.find_project(PROJECT) == paused

    async def test_by_the_clock_of_the_machine_it_takes_about_a_second(
        self, redis_url: str, redis: Redis
    ) -> None:
        directory = Directory(redis_url)
        await publish_project(redis, make_project())
        await declare_ready(redis)
        await directory.find_project(PROJECT)
        await publish_project(redis, make_project(version=2, is_active=False))

        async def is_paused() -> bool:
            project = await directory.find_project(PROJECT)
            assert project is not None
            return not project.is_active

        await eventually(is_paused)
        await directory.aclose()

    async def test_one_that_does_not_exist_is_remembered_for_a_second(
        self, directory: Directory, redis: Redis, clock: Clock
    ) -> None:
        await declare_ready(redis)
        trips = count_asked(directory)
        assert await directory.find_project(NEVER_MADE) is None
        assert directory.known_project(NEVER_MADE) is None
        assert await directory.find_project(NEVER_MADE) is None
        assert len(trips) == 1
        await publish_project(redis, make_project(project_id=NEVER_MADE))
        clock.tick()
        assert directory.known_project(NEVER_MADE) is STALE
        assert await directory.find_project(NEVER_MADE) is not None
        assert directory.known_project(NEVER_MADE) is not None

    async def test_one_that_is_gone_from_a_whole_redis_is_gone(
        self, directory: Directory, redis: Redis, clock: Clock
    ) -> None:
        await publish_project(redis, make_project())
        await declare_ready(redis)
        await directory.find_project(PROJECT)
        await redis.delete(redis_keys.projects())
        clock.tick()
        assert await directory.find_project(PROJECT) is None

    async def test_a_record_that_cannot_be_read_is_unavailable_or_as_it_was(
        self, directory: Directory, redis: Redis, clock: Clock
    ) -> None:
        await declare_ready(redis)
        await redis.hset(redis_keys.projects(), PROJECT.hex(), "garbage")
        with pytest.raises(DirectoryUnavailableError):
            await directory.find_project(PROJECT)
        await publish_project(redis, make_project())
        assert await directory.find_project(PROJECT) == make_project()
        await redis.hset(redis_keys.projects(), PROJECT.hex(), "garbage")
        clock.tick()
        assert await directory.find_project(PROJECT) == make_project()


class TestKeys:
    async def test_one_is_found_and_remembered(self, directory: Directory, redis: Redis) -> None:
        record = make_intake_key(expires_at_ms=5, allowed_ips=("198.51.100.0/24",))
        await publish_intake_key(redis, record)
        await declare_ready(redis)
        assert directory.known_key(KEY) is STALE
        assert await directory.find_key(KEY) == record
        assert directory.known_key(KEY) == record

    async def test_a_revoked_one_is_so_after_a_second(
        self, directory: Directory, redis: Redis, clock: Clock
    ) -> None:
        await publish_intake_key(redis, make_intake_key())
        await declare_ready(redis)
        await directory.find_key(KEY)
        await publish_intake_key(redis, make_intake_key(version=2, is_active=False))
        clock.tick()
        found = await directory.find_key(KEY)
        assert found is not None
        assert not found.is_active

    @pytest.mark.parametrize(
        "junk",
        [
            "",
            "x",
            KEY[:-1],
            KEY[:-1] + "!",
            KEY + "A",
            "klinky_live_" + KEY[8:],
            "fr_live_" + "B" * 32,
            KEY.lower(),
        ],
    )
    async def test_what_cannot_be_a_key_is_none_at_once(self, directory: Directory, junk: str) -> None:
        """Redis, which vouches for nothing here, is not asked."""
        trips = count_asked(directory)
        assert directory.known_key(junk) is None
        assert await directory.find_key(junk) is None
        assert trips == []

    async def test_letters_beyond_ascii_are_no_key(self, directory: Directory) -> None:
        assert directory.known_key("fr_live_" + "é" * 32) is None


class TestWithoutRedis:
    async def test_what_is_known_goes_on_and_the_rest_is_unavailable(
        self, directory: Directory, redis: Redis, clock: Clock, valkey_server: TestServer
    ) -> None:
        await publish_project(redis, make_project())
        await publish_intake_key(redis, make_intake_key())
        await declare_ready(redis)
        await directory.find_project(PROJECT)
        await directory.find_key(KEY)
        assert await directory.find_project(NEVER_MADE) is None
        valkey_server.stop()
        for _ in range(3):
            clock.tick()
            assert await directory.find_project(PROJECT) == make_project()
            assert await directory.find_key(KEY) == make_intake_key()
            with pytest.raises(DirectoryUnavailableError):
                await directory.find_project(NEVER_MADE)

    async def test_one_that_is_away_is_not_asked_for_every_request(
        self, directory: Directory, redis: Redis, clock: Clock, valkey_server: TestServer
    ) -> None:
        trips = count_asked(directory)
        valkey_server.stop()
        for _ in range(10):
            with pytest.raises(DirectoryUnavailableError):
                await directory.find_project(NEVER_MADE)
        assert len(trips) == 2  # tried twice, then left alone
        clock.tick(AWAY_S)
        valkey_server.start()
        await redis.connection_pool.disconnect()
        await declare_ready(redis)
        assert await directory.find_project(NEVER_MADE) is None

    async def test_one_that_hangs_is_given_up(
        self, directory: Directory, redis: Redis, clock: Clock, valkey_server: TestServer
    ) -> None:
        await publish_project(redis, make_project())
        await declare_ready(redis)
        await directory.find_project(PROJECT)
        clock.tick()
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            assert await directory.find_project(PROJECT) == make_project()
            with pytest.raises(DirectoryUnavailableError):
                await directory.find_project(NEVER_MADE)
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)

    async def test_one_that_came_back_empty_says_nothing_of_what_it_lacks(
        self, directory: Directory, redis: Redis, clock: Clock
    ) -> None:
        await publish_project(redis, make_project())
        await declare_ready(redis)
        await directory.find_project(PROJECT)
        await redis.flushdb()
        for marker in ("", "0" * 40 + ":1"):
            await set_markers(redis, marker)
            clock.tick()
            assert await directory.find_project(PROJECT) == make_project()
            with pytest.raises(DirectoryUnavailableError):
                await directory.find_project(NEVER_MADE)
        await declare_ready(redis, "2")
        clock.tick()
        assert await directory.find_project(PROJECT) is None

    async def test_an_old_dump_does_not_undo_what_is_known(
        self, directory: Directory, redis: Redis, clock: Clock
    ) -> None:
        paused = make_project(version=2, is_active=False)
        await publish_project(redis, paused)
        await declare_ready(redis)
        await directory.find_project(PROJECT)
        await publish_project(redis, make_project())
        await set_markers(redis, "0" * 40 + ":1")
        clock.tick()
        assert await directory.find_project(PROJECT) == paused
        await declare_ready(redis, "2")
        clock.tick()
        assert await directory.find_project(PROJECT) == make_project()


class TestFloods:
    async def test_many_who_ask_for_one_cost_one_look_up(self, directory: Directory, redis: Redis) -> None:
        await publish_project(redis, make_project())
        await declare_ready(redis)
        trips = count_asked(directory)
        found = await asyncio.gather(*(directory.find_project(PROJECT) for _ in range(500)))
        assert set(found) == {make_project()}
        assert trips == [[PROJECT.hex()]]

    async def test_what_is_asked_for_together_shares_round_trips(
        self, directory: Directory, redis: Redis
    ) -> None:
        await declare_ready(redis)
        trips = count_asked(directory)
        ids = [number.to_bytes(16, "big") for number in range(150)]
        found = await asyncio.gather(*map(directory.find_project, ids), directory.find_key(KEY))
        assert found == [None] * 151
        assert [len(trip) for trip in trips] == [151]

    async def test_past_the_bound_nobody_can_say(self, directory: Directory, redis: Redis) -> None:
        await declare_ready(redis)
        ids = [number.to_bytes(16, "big") for number in range(WAITING_AT_ONCE + 1)]
        found = await asyncio.gather(*map(directory.find_project, ids), return_exceptions=True)
        assert found[:-1] == [None] * WAITING_AT_ONCE
        assert isinstance(found[-1], DirectoryUnavailableError)

    async def test_what_is_remembered_is_bounded(
        self, directory: Directory, redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "RECORDS_KEPT", 3)
        await declare_ready(redis)
        ids = [number.to_bytes(16, "big") for number in range(1, 6)]
        for project_id in ids:
            await publish_project(redis, make_project(project_id=project_id))
            await directory.find_project(project_id)
        assert len(directory._projects) == 3
        assert directory.known_project(ids[0]) is STALE
        assert directory.known_project(ids[-1]) is not STALE

    async def test_a_visitor_who_leaves_takes_no_answer_from_others(
        self, directory: Directory, redis: Redis
    ) -> None:
        await publish_project(redis, make_project())
        await declare_ready(redis)
        first, second = (asyncio.create_task(directory.find_project(PROJECT)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == make_project()

    async def test_the_end_of_the_worker_leaves_nobody_waiting(
        self, redis_url: str, valkey_server: TestServer
    ) -> None:
        directory = Directory(redis_url)
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(directory.find_project(PROJECT))
            await asyncio.sleep(0)
            await directory.aclose()
            with pytest.raises(DirectoryUnavailableError):
                await waiting
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)
