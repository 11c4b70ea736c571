"""One thing goes wrong after another under load; what was answered has one row."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.cases import NO_FLUSHER, NO_POSTGRES, NO_REDIS, Case, assert_case, says
from tests.chaos.disturbances import (
    connections_cut,
    ended,
    killed,
    postgres_closed,
    postgres_crowded,
    redis_emptied,
    redis_full,
    stopped,
    up_ended,
    up_killed,
)
from tests.support import eventually

if TYPE_CHECKING:
    from tests.chaos.chaos_stack import ChaosStack
    from tests.chaos.conftest import Form

pytestmark = pytest.mark.xdist_group("chaos, one at a time")

CASES = [
    Case("edge killed", killed("edge-1"), breaks=True),
    Case("both edges killed", killed("edge-1", "edge-2"), breaks=True, serves=False),
    Case("edge stopped", stopped("edge-1"), ("edge-1 (process", "is stopped"), breaks=True),
    Case("edge ended", ended("edge-1"), breaks=True),
    Case(
        "supervisor killed",
        up_killed,
        ("`up` was killed",),
        breaks=True,
        forgets=True,
        serves=False,
        is_short=True,
    ),
    Case("supervisor stopped", stopped("up"), ("up (process",)),
    Case("supervisor ended", up_ended, breaks=True, forgets=True, serves=False),
    Case("flusher killed", killed("flusher")),
    Case("flusher stopped", stopped("flusher"), ("is stopped; kill -CONT", *NO_FLUSHER)),
    Case("flusher ended", ended("flusher")),
    Case("publisher killed", killed("publisher")),
    Case("publisher stopped", stopped("publisher"), ("publisher (process",)),
    Case("publisher ended", ended("publisher")),
    Case("api killed", killed("api")),
    Case("api stopped", stopped("api"), ("api (process", "The API at")),
    Case("api ended", ended("api")),
    Case("valkey killed", killed("valkey")),
    Case("valkey stopped", stopped("valkey"), ("valkey (process", *NO_REDIS), is_short=True),
    Case("valkey ended", ended("valkey"), refuses=True),
    Case("postgres killed", killed("postgres")),
    Case("postgres stopped", stopped("postgres"), ("postgres (process", *NO_POSTGRES)),
    # SIGTERM would make Postgres wait for its clients to leave, and they are pools that never do.
    Case("postgres ended", ended("postgres", signal.SIGINT)),
    Case("connections to Redis cut", connections_cut, refuses=True),
    Case(
        "Redis refuses writes",
        redis_full,
        ("Redis is full", "Redis is out of memory and takes no clicks"),
        is_short=True,
    ),
    Case("Redis emptied", redis_emptied, refuses=True, is_short=True),
    Case(
        "Postgres refuses connections",
        postgres_closed,
        ("turns us away", "not currently accepting connections"),
        is_short=True,
    ),
    Case("Postgres is out of connections", postgres_crowded, ("turns us away", "too many clients")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_loses_nothing(stack: ChaosStack, case: Case, form: Form) -> None:
    if not (case.is_short or form.is_whole):
        pytest.skip("part of ./switchyard test chaos")
    await assert_case(stack, case, form.hold_s)


async def test_what_is_changed_while_the_publisher_stands_still_reaches_the_edge(
    stack: ChaosStack, form: Form
) -> None:
    async with stopped("publisher")(stack, 0):
        stack.post_link("late-link", {"a": 50, "b": 50})
        if form.is_whole:
            await eventually(lambda: says(stack, "Does the publisher run?"), timeout_s=30)
    await eventually(lambda: stack.location("late-link", "HEAD"), timeout_s=30)
