"""What the command tells Locust and what Locust tells the command, as JSON files between two processes.

Locust makes the whole of its process cooperative (gevent), so it has one for itself; this module
is what both sides import, and knows neither of them.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

REDIRECT_NAME: Final = "/{slug}"
"""The name under which Locust's statistics group all links."""


class PlannedLink(msgspec.Struct, frozen=True):
    """A link to follow. `destinations`: what a Location may begin with. `is_sticky`: by cookie."""

    id: uuid.UUID
    slug: str
    destinations: list[str]
    is_sticky: bool


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do. `slug_prefix`: of all links of this run. `links`: the most popular one first.

    `marketers`: users of the API; the rest of the users are visitors. `api_requests_per_s`: of all
    marketers together. `visitor_pause_s`: shortest and longest pause between two requests of a
    visitor. `unknown_share`: share of requests for slugs that do not exist.
    """

    edge_url: str
    api_url: str
    api_key: str
    slug_prefix: str
    links: list[PlannedLink]
    marketers: int
    api_requests_per_s: float
    visitor_pause_s: tuple[float, float] = (0.05, 0.2)
    unknown_share: float = 0.03


class Figures(msgspec.Struct, frozen=True):
    """What Locust measured of one group of requests; it rounds times to whole milliseconds."""

    requests: int
    failures: int
    p50_ms: float
    p99_ms: float
    longest_ms: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What happened. `redirects`: clicks that Locust got a 302 for, by slug.

    `reasons`: what went wrong and how often, the most frequent first. `crashes`: how often a journey
    ended by a mistake of its own. `seconds`: from the first request to the last. `locust_cpu_s`:
    processor time that Locust's process took for it.
    """

    visits: Figures
    api: Figures
    total: Figures
    redirects: dict[str, int]
    reasons: list[tuple[str, int]]
    crashes: int
    seconds: float
    locust_cpu_s: float

    @property
    def per_second(self) -> float:
        """Give requests per second, answered in whatever way."""
        return self.total.requests / self.seconds if self.seconds else 0.0


_T = TypeVar("_T", bound=msgspec.Struct)


def read_file(path: Path, kind: type[_T]) -> _T:
    """Read what the other process wrote. Raises OSError, msgspec.MsgspecError."""
    return msgspec.json.decode(path.read_bytes(), type=kind)


def write_file(path: Path, content: msgspec.Struct) -> None:
    """Write for the other process; a plan holds an API key, so only its owner can read it."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(content))
