"""What the domain of custom domains refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.core.errors import Conflict, NotFound, RateLimited

if TYPE_CHECKING:
    from datetime import datetime


class DomainNotFound(NotFound):
    """The tenant has no such claim."""

    code = "domain_not_found"

    def __init__(self) -> None:
        super().__init__("Domain not found")


class DomainTaken(Conflict):
    """The proof is there, but another tenant has proven the domain before. `domain`: which."""

    code = "domain_taken"
    commits = True  # the claim keeps what the look has shown

    def __init__(self, domain: str) -> None:
        super().__init__(f"{domain} is already verified by another tenant.")
        self.domain = domain


class TooManyDomains(Conflict):
    """The tenant has as many claims as it may. `limit`: how many."""

    code = "too_many_domains"

    def __init__(self, limit: int) -> None:
        super().__init__(f"A tenant may claim at most {limit} domains; remove one first.")
        self.limit = limit


class ChallengeExpired(Conflict):
    """The challenge serves no longer. `expired_at`: since when."""

    code = "challenge_expired"

    def __init__(self, expired_at: datetime) -> None:
        super().__init__(
            f"The challenge expired at {expired_at:%Y-%m-%dT%H:%M:%SZ}; start the verification again."
        )
        self.expired_at = expired_at


class CheckTooSoon(RateLimited):
    """The domain was looked at a moment ago."""

    code = "check_too_soon"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(retry_after_s)
        self.args = ("The domain was looked at a moment ago. Please try again in a few seconds.",)
