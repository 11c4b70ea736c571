"""One thing that goes wrong, and what must hold while it does, and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tests.chaos.disturbances import Disturbance, has_snapshot
from tests.chaos.exactness import assert_all_is_well, assert_nothing_lost, find_wrong, take_stock
from tests.chaos.reporters import Reporters
from tests.chaos.visitors import Visitors
from tests.support import eventually

if TYPE_CHECKING:
    from tests.chaos.chaos_stack import ChaosStack

NO_FLUSHER: Final = ("none has asked for more lately. Does a flusher run?", "Clicks wait in the journal")
NO_REDIS: Final = ("redis: Redis at", "Redis does not answer: clicks stay in the journal")
NO_POSTGRES: Final = ("postgres: Postgres at",)
"""What the doctor says when they are gone."""

PROJECT_NOT_LOOKED_UP: Final = "503 unavailable"
NOT_LOOKED_UP: Final = "503 Links cannot be looked up right now."


class Case(msgspec.Struct, frozen=True):
    """One thing that goes wrong, and what may be seen of it.

    `doctor`: parts of sentences, all of which the doctor says at once while it lasts.
    `breaks`: visitors of an edge worker that dies or stands still have no answer.
    `refuses`: a link that a worker has not in memory is a 503, as Redis cannot say whether it exists.
    `forgets`: the same of projects, which no snapshot has: reports are a 503, and nothing worse.
    `serves`: redirects go on meanwhile.
    `is_short`: part of the short form.
    """

    name: str
    disturb: Disturbance
    doctor: tuple[str, ...] = ()
    breaks: bool = False
    refuses: bool = False
    forgets: bool = False
    serves: bool = True
    is_short: bool = False


async def assert_case(stack: ChaosStack, case: Case, hold_s: float) -> None:
    """Let it happen under load, for `hold_s` where it has no end of its own; then count."""
    await stack.warm()
    await eventually(lambda: has_snapshot(stack))  # all that a new worker has to go on with
    before = await take_stock(stack)
    visitors = Visitors(stack.ready["edge_url"])
    reporters = Reporters(stack.ready["edge_url"], stack.shop, visitors.last_click)
    async with visitors.following(), reporters.reporting():
        await visitors.redirects(100)
        async with case.disturb(stack, hold_s):
            if case.serves:
                await visitors.redirects(50)
            if case.doctor:
                await eventually(lambda: says(stack, *case.doctor), timeout_s=30)
            if case.serves:
                await visitors.redirects(50)
        await visitors.redirects(100)
        await assert_all_is_well(stack)  # the load lasts until all has recovered
    print(f"{case.name}: {visitors}; {reporters}")  # noqa: T201  shown when the test fails
    if not case.breaks:
        assert (visitors.unsure, reporters.unsure) == (0, 0)
    assert visitors.refusals.keys() <= ({NOT_LOOKED_UP} if case.refuses else set())
    assert reporters.refusals.keys() <= ({PROJECT_NOT_LOOKED_UP} if case.refuses or case.forgets else set())
    assert reporters.answered > 0
    await assert_nothing_lost(stack, visitors, before, reporters)


async def says(stack: ChaosStack, *parts: str) -> bool:
    """Tell whether the doctor names all of these among what is wrong; for the reader, print what it said."""
    wrong = "\n".join(find_wrong(await stack.examine()))
    print(wrong)  # noqa: T201
    return all(part in wrong for part in parts)
