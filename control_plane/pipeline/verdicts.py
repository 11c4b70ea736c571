"""Whether a machine made a click or a visit, and how that is known.

A verdict follows from what the event says and from how often its visitor came in the same minute, from
nothing else: so it can be passed again over what is stored (`./switchyard rescore`). It is stored with
VERDICT_VERSION, which grows with every change of the rules.

Reasons are looked for in an order, the surest first; the first that holds is stored.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from control_plane.core.user_agents import BotReason, judge_user_agent
from control_plane.pipeline.networks import (
    DATACENTERS,
    MAIL_SCANNERS,
    NetworkList,
    pack_address,
    read_networks,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

VERDICT_VERSION: Final = 2
"""1 knew the crawler list and missing user agents; and took what was fetched ahead for people's."""

MOST_PER_MINUTE: Final = 30
"""Events of one visitor in one clock minute that a person can make; those behind are a machine's."""

VISITORS_COUNTED: Final = 200_000
"""Visitors of a minute that are counted one by one: some 30 MB. Of those behind, none has come twice."""


class Judge:
    """Passes verdicts. `datacenters`: blocks where nobody browses."""

    def __init__(self, datacenters: list[str]) -> None:
        self._datacenters = NetworkList(datacenters)
        self._mail_scanners = NetworkList(MAIL_SCANNERS.split())

    @classmethod
    def read(cls, source: str) -> Judge:
        """Make one. `source`: a file of CIDR blocks besides ours; "" for ours alone, "off" for none.

        Raises OSError, ValueError.
        """
        if source == "off":
            return cls([])
        more = read_networks(Path(source).read_text()) if source else []
        return cls([*DATACENTERS.split(), *more])

    def judge(
        self, user_agent: str, ip: str, *, prefetch: bool = False, in_minute: int = 1
    ) -> BotReason | None:
        """Give the reason why an event is a machine's; None for a person's.

        `ip`: the address as text, whole or truncated; "" when it is not known. `in_minute`: which one of
        its visitor's events in its clock minute this is, from 1.
        """
        if prefetch:
            return BotReason.PREFETCH
        reason = judge_user_agent(user_agent) or self._judge_address(ip)
        if reason is None and in_minute > MOST_PER_MINUTE:
            return BotReason.RATE
        return reason

    def _judge_address(self, ip: str) -> BotReason | None:
        packed = pack_address(ip)
        if packed is None:
            return None
        if self._mail_scanners.holds(packed):
            return BotReason.MAIL_SCANNER
        return BotReason.DATACENTER if self._datacenters.holds(packed) else None


class MinuteCounter:
    """Counts events by visitor and clock minute, over the present minute and the one before.

    One process counts what it lands. With several flushers each sees a part, and the verdict is milder;
    passing it again over the rows counts them all.
    """

    def __init__(self) -> None:
        self._minutes: dict[int, dict[int, int]] = {}

    def seen(self, visitor_id: int, minute: int) -> int:
        """Tell how often a visitor came in a minute (since 1970), as far as it was added."""
        counts = self._minutes.get(minute)
        return 0 if counts is None else counts.get(visitor_id, 0)

    def add(self, times: Mapping[tuple[int, int], int]) -> None:
        """Add how often visitors came: (visitor, minute) -> times. Once they have landed, not before.

        Minutes long past are counted too while they are among the two that were used last.
        """
        for (visitor_id, minute), number in times.items():
            counts = self._minutes.get(minute)
            if counts is None:
                if len(self._minutes) > 1:
                    del self._minutes[min(self._minutes)]
                counts = self._minutes[minute] = {}
            if visitor_id in counts or len(counts) < VISITORS_COUNTED:
                counts[visitor_id] = counts.get(visitor_id, 0) + number
