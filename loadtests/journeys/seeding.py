"""The links that a run follows: made over the API before, counted over it afterwards, removed again."""

from __future__ import annotations

import contextlib
import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from deploy.process import StartFailed
from loadtests.journeys.plan import PlannedLink

if TYPE_CHECKING:
    from types import TracebackType

LINKS: Final = 50
"""Enough for a long tail, and few enough to leave the marketers most of an hour's requests."""

PAGE: Final = 100
"""The most links that the API lists at a time."""

LINKS_PATH: Final = "/api/v1/public/links"
PUBLISHED_S: Final = 20.0
LANDING_S: Final = 60.0
POLLS_PER_LINK: Final = 3
"""About how often a link is counted until its last click has landed."""

_STICKINESS: Final = ("cookie", "cookie", "fingerprint", "none")
_OK, _CREATED, _NO_CONTENT, _REDIRECT = 200, 201, 204, 302


class LinkSeed:
    """The links of one run on a stack. Use as a context manager: at the end they are deleted.

    `requests_left`: how many API requests the account has left in this hour for others to make.
    """

    def __init__(self, api_url: str, edge_url: str, api_key: str) -> None:
        self._api = httpx.Client(base_url=api_url, headers={"X-API-Key": api_key}, timeout=20)
        self._edge_url = edge_url
        self.slug_prefix = f"load-{secrets.token_hex(4)}-"
        self.links: list[PlannedLink] = []
        self.requests_left = 0

    def __enter__(self) -> Self:
        """Make the links and wait until the edge knows them. Raises StartFailed."""
        try:
            self._make_links()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with contextlib.suppress(StartFailed):  # after Ctrl-C the API may be gone; `error` says more
            self.close()

    def close(self) -> None:
        """Delete all links of the run, those of its marketers too."""
        with contextlib.closing(self._api):
            while left := self._list_links():
                for link_id in left:
                    self._ask("DELETE", f"{LINKS_PATH}/{link_id}", _NO_CONTENT)

    def count_landed(self, received: dict[str, int]) -> dict[str, int]:
        """Wait until as many clicks have landed as redirects were received, and give clicks by slug.

        Gives up after LANDING_S. A link is counted once more after all of them have landed, so a
        click that landed twice shows.
        """
        deadline = time.monotonic() + LANDING_S
        for link in self.links:
            pause_s = 0.1
            while self._count_clicks(link.id) < received.get(link.slug, 0) and time.monotonic() < deadline:
                time.sleep(pause_s)
                pause_s *= 2
        return {link.slug: self._count_clicks(link.id) for link in self.links}

    def _list_links(self) -> list[str]:
        """Give the ids of this run's links that are among the newest of the account."""
        newest = self._ask("GET", f"{LINKS_PATH}?per_page={PAGE}", _OK).json()["items"]
        return [link["id"] for link in newest if link["slug"].startswith(self.slug_prefix)]

    def _make_links(self) -> None:
        for number in range(1, LINKS + 1):
            slug = f"{self.slug_prefix}{number:02d}"
            stickiness = _STICKINESS[number % len(_STICKINESS)]
            destinations = [f"https://example.com/{slug}/{label}" for label in ("a", "b")]
            answer = self._ask("POST", LINKS_PATH, _CREATED, _draft(slug, stickiness, destinations))
            link_id = uuid.UUID(answer.json()["id"])
            self.links.append(PlannedLink(link_id, slug, destinations, stickiness == "cookie"))
            left = int(answer.headers["X-RateLimit-Remaining"])
            needed = LINKS - number + (POLLS_PER_LINK + 1) * LINKS
            self.requests_left = left - needed
            if self.requests_left <= 0:
                raise StartFailed(
                    f"The API allows this account {left} more requests in this hour, and a load test"
                    f" needs {needed} for itself; wait, or let it run on a stack of its own."
                )
        self._await_published(self.links[-1].slug)

    def _await_published(self, slug: str) -> None:
        """Wait until the edge knows a link. HEAD is never counted as a click."""
        deadline = time.monotonic() + PUBLISHED_S
        while (status := self._look_up(slug)) != _REDIRECT:
            if time.monotonic() > deadline:
                raise StartFailed(
                    f"{self._edge_url}/{slug} answers {status} {PUBLISHED_S:g} s after it was made;"
                    " ./switchyard doctor tells more."
                )
            time.sleep(0.1)

    def _look_up(self, slug: str) -> int | str:
        try:
            return httpx.head(f"{self._edge_url}/{slug}").status_code
        except httpx.TransportError as error:
            return str(error)

    def _count_clicks(self, link_id: uuid.UUID) -> int:
        answer = self._ask("GET", f"{LINKS_PATH}/{link_id}/clicks?per_page=1", _OK)
        return int(answer.json()["total"])

    def _ask(
        self, method: str, target: str, expected: int, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        try:
            answer = self._api.request(method, target, json=body)
        except httpx.TransportError as error:
            raise StartFailed(f"The API at {self._api.base_url} does not answer: {error}.") from error
        if answer.status_code != expected:
            raise StartFailed(f"{method} {target} answered {answer.status_code}: {answer.text}")
        return answer


def _draft(slug: str, stickiness: str, destinations: list[str]) -> dict[str, Any]:
    return {
        "name": f"Load test {slug}",
        "slug": slug,
        "stickiness": stickiness,
        "variants": [
            {"label": url[-1], "destination_url": f"{url}?click={{click_id}}", "weight": 50}
            for url in destinations
        ],
    }
