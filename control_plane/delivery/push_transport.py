"""The way to push services: URLs that browsers, and so strangers, gave us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from control_plane.core.guarded_fetch import FetchFailed, GuardedFetcher, TargetRefused
from control_plane.delivery.outcomes import DeliveryDelayed, DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from control_plane.core.name_resolver import NameResolver


class Answer(msgspec.Struct, frozen=True):
    """What a push service says. `headers`: names in lower case."""

    status: int
    headers: dict[str, str]


class PushTransport(Protocol):
    """Posts to a push service."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post a body. Raises DeliveryDelayed, DeliveryRefused."""


class GuardedTransport(PushTransport):
    """Posts to public addresses only. `allow_private`: to any, for tests and closed networks."""

    def __init__(self, resolver: NameResolver, *, allow_private: bool) -> None:
        self._fetcher = GuardedFetcher(resolver, allow_private=allow_private)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post a body. Raises DeliveryDelayed, DeliveryRefused."""
        try:
            fetched = await self._fetcher.fetch(url, method="POST", headers=headers, content=body)
        except TargetRefused:
            # Not its text: whoever knows the URL can send to that browser.
            raise DeliveryRefused("the endpoint leads to an address that is not public") from None
        except FetchFailed as error:
            raise DeliveryDelayed(f"the push service does not answer: {type(error).__name__}") from None
        return Answer(fetched.status, {name.lower(): value for name, value in fetched.headers})
