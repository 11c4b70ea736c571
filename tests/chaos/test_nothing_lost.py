"""One thing after another goes wrong under load; every redirect that was received has one row."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.chaos.disturbances import (
    Disturbance,
    connections_cut,
    ended,
    killed,
    postgres_closed,
    postgres_crowded,
    redis_emptied,
    redis_full,
    redis_slow,
    stopped,
    up_killed,
)
from tests.chaos.exactness import assert_all_is_well, assert_nothing_lost, find_wrong, take_stock
from tests.chaos.visitors import Visitors
from tests.support import eventually

if TYPE_CHECKING:
    from tests.chaos.chaos_stack import ChaosStack
    from tests.chaos.conftest import Form

pytestmark = pytest.mark.xdist_group("chaos")

NOT_LOOKED_UP = "503 Links cannot be looked up right now."


class Case(msgspec.Struct, frozen=True):
    """One thing that goes wrong, and what may be seen of it.

    `doctor`: names of the checks that find it while it lasts; at least one of them does.
    `breaks`: visitors of an edge worker that dies or stands still have no answer.
    `refuses`: a link that a new worker has not in memory yet is a 503.
    `serves`: redirects go on meanwhile.
    `is_short`: part of the short form.
    """

    name: str
    disturb: Disturbance
    doctor: frozenset[str] = frozenset()
    breaks: bool = False
    refuses: bool = False
    serves: bool = True
    is_short: bool = False


CASES = [
    Case("edge killed", killed("edge-1"), breaks=True),
    Case("both edges killed", killed("edge-1", "edge-2"), breaks=True, serves=False),
    Case("edge stopped", stopped("edge-1"), doctor=frozenset({"edge"}), breaks=True),
    Case("edge ended", ended("edge-1"), breaks=True),
    Case("supervisor killed", up_killed, breaks=True, serves=False, is_short=True),
    Case("supervisor stopped", stopped("up")),
    Case("flusher killed", killed("flusher")),
    Case("flusher stopped", stopped("flusher"), doctor=frozenset({"clicks", "stream"})),
    Case("flusher ended", ended("flusher")),
    Case("publisher killed", killed("publisher")),
    Case("publisher stopped", stopped("publisher")),
    Case("publisher ended", ended("publisher")),
    Case("api killed", killed("api")),
    Case("api stopped", stopped("api"), doctor=frozenset({"api"})),
    Case("api ended", ended("api")),
    Case("valkey killed", killed("valkey")),
    Case("valkey stopped", stopped("valkey"), doctor=frozenset({"redis", "edge"}), is_short=True),
    Case("valkey ended", ended("valkey"), refuses=True),
    Case("postgres killed", killed("postgres")),
    Case("postgres stopped", stopped("postgres"), doctor=frozenset({"postgres"})),
    # SIGTERM would make Postgres wait for its clients to leave, and they are pools that never do.
    Case("postgres ended", ended("postgres", signal.SIGINT)),
    Case("edge and flusher killed", killed("edge-1", "flusher"), breaks=True, is_short=True),
    Case("valkey and postgres killed", killed("valkey", "postgres"), is_short=True),
    Case(
        "valkey and postgres stopped", stopped("valkey", "postgres"), doctor=frozenset({"redis", "postgres"})
    ),
    Case("flusher and valkey killed", killed("flusher", "valkey")),
    Case("edge and valkey killed", killed("edge-1", "valkey"), breaks=True, refuses=True),
    Case("connections to Redis cut", connections_cut, refuses=True),
    Case("Redis slow", redis_slow),
    Case("Redis refuses writes", redis_full, doctor=frozenset({"redis memory"}), is_short=True),
    Case("Redis emptied", redis_emptied, refuses=True, is_short=True),
    Case("Postgres refuses connections", postgres_closed, doctor=frozenset({"postgres"}), is_short=True),
    Case("Postgres is out of connections", postgres_crowded, doctor=frozenset({"postgres"})),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_loses_nothing(stack: ChaosStack, case: Case, form: Form) -> None:
    if not (case.is_short or form.is_whole):
        pytest.skip("part of ./switchyard test chaos")
    await stack.warm()
    before = await take_stock(stack)
    visitors = Visitors(stack.ready["edge_url"])
    async with visitors.following():
        await visitors.redirects(100)
        async with case.disturb(stack, form.hold_s):
            if case.serves:
                await visitors.redirects(50)
            if case.doctor:
                await eventually(lambda: _names(stack, case.doctor), timeout_s=30)
        await visitors.redirects(100)
        await assert_all_is_well(stack)  # the load lasts until all has recovered
    print(f"{case.name}: {visitors}")  # noqa: T201  shown when the test fails
    if not case.breaks:
        assert (visitors.broken, visitors.unanswered) == (0, 0)
    assert visitors.refusals.keys() <= ({NOT_LOOKED_UP} if case.refuses else set())
    await assert_nothing_lost(stack, visitors, before)


async def _names(stack: ChaosStack, checks: frozenset[str]) -> bool:
    """Tell whether the doctor finds what is wrong."""
    return any(wrong.partition(":")[0] in checks for wrong in find_wrong(await stack.examine()))


async def test_what_is_changed_while_the_publisher_stands_still_reaches_the_edge(
    stack: ChaosStack, form: Form
) -> None:
    async with stopped("publisher")(stack, 0):
        stack.post_link("late-link", {"a": 50, "b": 50})
        if form.is_whole:
            await eventually(lambda: _names(stack, frozenset({"outbox"})), timeout_s=30)
    await eventually(lambda: stack.location("late-link", "HEAD"), timeout_s=30)
