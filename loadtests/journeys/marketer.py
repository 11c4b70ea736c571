"""Marketers manage links over the API: make one, look at it, change it, look at clicks, remove it."""

from __future__ import annotations

import json
import time
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Final

from locust import FastHttpUser, SequentialTaskSet, task

if TYPE_CHECKING:
    from loadtests.journeys.plan import Plan
    from loadtests.journeys.throttle import Throttle

LINKS: Final = "/api/v1/public/links"
OK, CREATED, NO_CONTENT = 200, 201, 204


class Campaign(SequentialTaskSet):
    """The life of one link; each step checks its answer. A step without a link does nothing."""

    user: Marketer

    @task
    def create(self) -> None:
        """Make a link."""
        wanted = {
            "name": "Load test",
            "slug": f"{self.user.plan.slug_prefix}m{self.user.random.getrandbits(48):012x}",
            "variants": draw_variants(self.user.random),
        }
        answer = self.user.ask("POST", LINKS, LINKS, CREATED, wanted)
        if answer is not None and answer["slug"] == wanted["slug"]:
            self.user.link_id = answer["id"]

    @task
    def look(self) -> None:
        """Get the link."""
        if link_id := self.user.link_id:
            answer = self.user.ask("GET", f"{LINKS}/{link_id}", f"{LINKS}/{{id}}", OK)
            self.user.expect(answer is None or answer["id"] == link_id, "another link than asked for")

    @task
    def change_weights(self) -> None:
        """Give the variants other weights."""
        if link_id := self.user.link_id:
            variants = draw_variants(self.user.random)
            answer = self.user.ask(
                "PATCH", f"{LINKS}/{link_id}", f"{LINKS}/{{id}}", OK, {"variants": variants}
            )
            if answer is not None:
                weights = {variant["label"]: variant["weight"] for variant in answer["variants"]}
                wanted = {variant["label"]: variant["weight"] for variant in variants}
                self.user.expect(weights == wanted, "other weights than were set")

    @task
    def list_links(self) -> None:
        """List the newest links."""
        answer = self.user.ask("GET", f"{LINKS}?per_page=20", LINKS, OK)
        self.user.expect(
            answer is None or len(answer["items"]) == min(20, answer["total"]), "a page that is not full"
        )

    @task
    def read_clicks(self) -> None:
        """Look at the clicks of the most popular link: they only ever grow."""
        link_id = self.user.plan.links[0].id
        answer = self.user.ask("GET", f"{LINKS}/{link_id}/clicks?per_page=10", f"{LINKS}/{{id}}/clicks", OK)
        if answer is not None:
            self.user.expect(answer["total"] >= self.user.clicks_seen, "fewer clicks than before")
            self.user.clicks_seen = answer["total"]

    @task
    def remove(self) -> None:
        """Delete the link. A run that ends before that leaves it to the command."""
        if link_id := self.user.link_id:
            self.user.link_id = ""
            self.user.ask("DELETE", f"{LINKS}/{link_id}", f"{LINKS}/{{id}}", NO_CONTENT)


class Marketer(FastHttpUser):
    """Manages links, one campaign after the other, at a rate that all marketers share.

    The rate keeps the run below the requests per hour that the API allows to the account.
    """

    plan: ClassVar[Plan]
    throttle: ClassVar[Throttle]
    tasks = [Campaign]  # noqa: RUF012  Locust's own annotation is an instance's

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.random = Random()  # noqa: S311  weights of a test's links, no secret
        self.link_id = ""
        self.clicks_seen = 0

    def wait_time(self) -> float:
        """Give the pause before the next request, in seconds."""
        return self.throttle.reserve(time.monotonic())

    def ask(
        self, method: str, target: str, name: str, expected: int, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Ask the API and give the decoded answer; None after a failure, which is noted."""
        with self.client.request(
            method,
            target,
            name=name,
            json=body,
            headers={"X-API-Key": self.plan.api_key},
            catch_response=True,
        ) as answer:
            if answer.status_code != expected:
                answer.failure(f"status {answer.status_code}, expected {expected}: {answer.text or ''}"[:200])
                return None
            return json.loads(answer.content) if answer.content else {}

    def expect(self, holds: bool, complaint: str) -> None:
        """Note a failure of the API when something does not hold."""
        if not holds:
            self.environment.events.request.fire(
                request_type="CHECK",
                name=LINKS,
                response_time=0,
                response_length=0,
                exception=ValueError(complaint),
                context={},
            )


def draw_variants(random: Random) -> list[dict[str, Any]]:
    """Draw the weights of two variants."""
    share = random.randint(0, 100)
    return [
        {"label": "calm", "destination_url": "https://example.com/calm", "weight": share},
        {"label": "loud", "destination_url": "https://example.com/loud", "weight": 100 - share},
    ]
