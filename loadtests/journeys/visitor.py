"""Visitors follow links: popular ones mostly, from many browsers, a few of them more than once."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final

from locust import FastHttpUser, task

from loadtests.journeys.browsers import CAMPAIGNS, PREVIEW_BOTS, draw_browser, pick
from loadtests.journeys.plan import REDIRECT_NAME

if TYPE_CHECKING:
    from loadtests.journeys.plan import Plan, PlannedLink
    from loadtests.journeys.popularity import Popularity

FOUND: Final = 302
NOT_FOUND: Final = 404

NEW_VISITOR_SHARE: Final = 0.7
"""How often the next request is somebody else's. Connections stay, as behind a proxy."""

PREFETCH_SHARE: Final = 0.03
PREVIEW_SHARE: Final = 0.04
"""Share of requests that a browser makes ahead of a click, and that a bot makes for a preview."""


class Visitor(FastHttpUser):
    """Follows links, and checks each answer; never goes where they lead."""

    plan: ClassVar[Plan]
    popularity: ClassVar[Popularity]
    redirects: ClassVar[Counter[str]] = Counter()
    """Clicks that were answered with 302, by slug; the API must count the same in the end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._random = Random()  # noqa: S311  a mix of visitors, no secret
        self._become_somebody()

    def wait_time(self) -> float:
        """Give the pause before the next request, in seconds."""
        return self._random.uniform(*self.plan.visitor_pause_s)

    @task
    def visit(self) -> None:
        """Make one request, of the kind that chance says."""
        if self._random.random() < NEW_VISITOR_SHARE:
            self._become_somebody()
        draw = self._random.random()
        if draw < self.plan.unknown_share:
            self._mistype()
        elif draw < self.plan.unknown_share + PREVIEW_SHARE:
            self._preview(self._choose_link())
        else:
            self._follow(self._choose_link())

    def _become_somebody(self) -> None:
        self._browser = draw_browser(self._random)
        self._seen: dict[str, str] = {}
        """Slug -> destination where this visitor was sent first."""
        self.client.cookiejar.clear()

    def _choose_link(self) -> PlannedLink:
        return self.plan.links[self.popularity.choose_rank(self._random.random())]

    def _follow(self, link: PlannedLink) -> None:
        headers = self._browser.headers
        if self._random.random() < PREFETCH_SHARE:
            headers = {**headers, "Sec-Purpose": "prefetch"}
        query = pick(CAMPAIGNS, self._random)
        with self.client.get(
            f"/{link.slug}?{query}" if query else f"/{link.slug}",
            name=REDIRECT_NAME,
            headers=headers,
            allow_redirects=False,
            catch_response=True,
        ) as answer:
            if answer.status_code == FOUND:
                self.redirects[link.slug] += 1
            if complaint := self._check_redirect(link, answer):
                answer.failure(complaint)

    def _preview(self, link: PlannedLink) -> None:
        """Ask as a bot does that shows where a link leads: without being counted."""
        with self.client.head(
            f"/{link.slug}",
            name=REDIRECT_NAME,
            headers={"User-Agent": pick(PREVIEW_BOTS, self._random)},
            allow_redirects=False,
            catch_response=True,
        ) as answer:
            if complaint := find_fault(link, answer):
                answer.failure(complaint)

    def _mistype(self) -> None:
        with self.client.get(
            f"/nobody-made-{self._random.randrange(1000)}",
            name="/{unknown}",
            headers=self._browser.headers,
            allow_redirects=False,
            catch_response=True,
        ) as answer:
            if answer.status_code == NOT_FOUND:
                answer.success()
            else:
                answer.failure(f"status {answer.status_code} for an unknown slug")

    def _check_redirect(self, link: PlannedLink, answer: Any) -> str:
        if complaint := find_fault(link, answer):
            return complaint
        destination = find_destination(link, answer.headers["location"])
        if link.is_sticky and not self._browser.is_private:
            first = self._seen.setdefault(link.slug, destination)
            if first != destination:
                return "a visitor came back and was sent elsewhere"
        return ""


def find_fault(link: PlannedLink, answer: Any) -> str:
    """Say what is wrong with an answer for a link; "" if nothing is. `answer`: Locust's response."""
    if answer.status_code != FOUND:
        return f"status {answer.status_code}" if answer.status_code else f"no answer: {answer.error}"
    if answer.headers.get("cache-control") != "no-store":
        return "a redirect that may be cached"
    if not find_destination(link, answer.headers.get("location") or ""):
        return "a Location that is none of the link's destinations"
    return ""


def find_destination(link: PlannedLink, location: str) -> str:
    """Give the link's destination to which a Location leads; "" if to none."""
    return next((url for url in link.destinations if location.split("?", 1)[0] == url), "")
