"""The journal without room, and the journal with a tail that is not whole."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from edge.contract.events import FRAME_HEADER, decode_event
from edge.segment import SEGMENT_NAME, map_segment, read_segment
from tests.chaos.chaos_stack import EDGES, ChaosStack, chaos_stack
from tests.chaos.disturbances import stopped
from tests.chaos.exactness import assert_nothing_lost, assert_sums_agree, list_clicks, take_stock
from tests.chaos.reporters import Reporters
from tests.chaos.visitors import Visitors
from tests.support import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chaos.conftest import Form

pytestmark = pytest.mark.xdist_group("chaos, journal")

NOT_RECORDED = "503 Clicks cannot be recorded right now."
REPORT_NOT_RECORDED = "503 journal_full"
SEGMENT = {"SWITCHYARD_JOURNAL_SEGMENT_MB": "1"}
TALKATIVE = {"User-Agent": "Mozilla/5.0 " + "x" * 1000, "Referer": "https://news.example/" + "y" * 2000}
LONG_QUERY = "?q=" + "z" * 4000
"""With these, seven kilobytes a click, a moderate rate fills a journal in seconds."""


@pytest.fixture
def scanty_stack(home: Path) -> Iterator[ChaosStack]:
    """A stack whose journals may take no more than the smallest budget there is."""
    with chaos_stack(home / "scanty", SWITCHYARD_JOURNAL_BUDGET_MB="16", **SEGMENT) as stack:
        yield stack


@pytest.fixture
def small_disk_stack(home: Path, form: Form) -> Iterator[ChaosStack]:
    """A stack whose journals lie on a disk with room for three segments."""
    if not form.is_whole:
        pytest.skip("part of ./switchyard test chaos")
    disk = home / "small disk" / "data" / "journal"
    disk.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=3200k,mode=0700", "switchyard-test", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        with chaos_stack(home / "small disk", **SEGMENT) as stack:
            yield stack
    finally:
        subprocess.run(["umount", disk], check=True)


async def test_budget_used_up_is_a_503_that_says_so(scanty_stack: ChaosStack) -> None:
    await expect_refusals_while_full(scanty_stack, "journal")


async def test_full_disk_is_a_503_that_says_so(small_disk_stack: ChaosStack) -> None:
    await expect_refusals_while_full(small_disk_stack, "journal folder")


async def expect_refusals_while_full(stack: ChaosStack, check: str) -> None:
    """Fill the journals while nothing lands; then let it land."""
    await stack.warm()
    before = await take_stock(stack)
    visitors = Visitors(stack.ready["edge_url"], rate=500, headers=TALKATIVE, query=LONG_QUERY)
    reporters = Reporters(stack.ready["edge_url"], stack.shop, visitors.last_click)
    async with visitors.following(), reporters.reporting():
        async with stopped("flusher")(stack, 0):
            await visitors.refused(50, timeout_s=60)
            await eventually(lambda: reporters.refusals, timeout_s=60)
            wrong = {found.name: found.says for found in (await stack.examine()).checks if not found.ok}
            assert check in wrong
            assert "Clicks cannot be recorded, the journal has no room" in wrong["edge"]
        await visitors.redirects(200, timeout_s=60)
    assert visitors.refusals.keys() == {NOT_RECORDED}
    assert reporters.refusals.keys() == {REPORT_NOT_RECORDED}
    assert (visitors.unsure, reporters.unsure) == (0, 0)
    await assert_nothing_lost(stack, visitors, before, reporters)


@pytest.fixture
def doomed_stack(home: Path) -> Iterator[ChaosStack]:
    """A stack that loses clicks: its figures do not agree afterwards."""
    with chaos_stack(home / "doomed") as stack:
        yield stack


async def test_corrupted_tail_is_cut_and_reported(doomed_stack: ChaosStack) -> None:
    stack = doomed_stack
    await stack.warm()
    before = Visitors(stack.ready["edge_url"])
    async with stopped("valkey")(stack, 0), stopped("up")(stack, 0):
        async with before.following():
            await before.redirects(200)
            for name in EDGES:
                os.kill(stack.pid(name), signal.SIGKILL)
        lost = {corrupt_last_event(folder) for folder in stack.journals.iterdir() if folder.is_dir()}
    after = Visitors(stack.ready["edge_url"])
    await stack.warm()
    async with after.following():
        await after.redirects(100)
    expected = {*before.clicks, *after.clicks} - lost
    assert len(expected) >= 300 - len(EDGES)

    async def find_missing() -> bool:
        async with stack.database() as db:
            return expected <= set(await list_clicks(db))

    await eventually(find_missing, timeout_s=60)
    async with stack.database() as db:
        assert not lost & set(await list_clicks(db))
        await assert_sums_agree(db)
    await eventually(lambda: _has_no_lag(stack), timeout_s=60)
    assert b"switchyard_edge_journal_damage_total 2\n" in stack.get("/_/metrics")
    assert "the record there is not whole" in "".join(
        (stack.data / "logs" / f"{name}.log").read_text() for name in EDGES
    )


def _has_no_lag(stack: ChaosStack) -> bool:
    health = stack.health()
    return health is not None and health.events.lag_events == 0


def corrupt_last_event(folder: Path) -> UUID:
    """Flip a bit of the newest event of a dead worker's journal. Give the event's id."""
    segment = map_segment(max(folder.glob(SEGMENT_NAME)))
    assert segment is not None
    with closing(segment):
        contents = read_segment(segment)
        assert contents is not None
        position, end, _events = contents.chunks[-1]
        while position < end:
            length, _check = FRAME_HEADER.unpack_from(segment, position)
            start, position = position + FRAME_HEADER.size, position + FRAME_HEADER.size + length
        click = decode_event(segment[start:position])
        segment[position - 1] ^= 1
        return UUID(bytes=click.id)
