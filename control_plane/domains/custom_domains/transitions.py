"""What becomes of a claim: pure functions from one claim to the next.

    pending ── proven ──> verified ── missing for days ──> lapsed
       ^ renewed            ^                                │ renewed when expired
       └── expired          └──────────── proven ────────────┘

A verified domain is looked at daily. A look that was inconclusive, because the DNS did not answer, never
counts against it: a resolver of ours that is broken for days must not take all domains down.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from control_plane.domains.custom_domains.model import Sight

if TYPE_CHECKING:
    from datetime import datetime

    from control_plane.domains.custom_domains.model import Claim, Finding, Method

CHALLENGE_KEPT: Final = timedelta(days=7)
"""So long a challenge serves; that of a verified domain, so long after it was last seen."""

PENDING_EVERY: Final = timedelta(hours=1)
PROVEN_EVERY: Final = timedelta(days=1)

FAILURES_TO_LAPSE: Final = 3
FAILING_TO_LAPSE: Final = timedelta(hours=48)
"""A domain lapses when as many daily checks in a row failed, the first of them so long ago."""

EXPIRED: Final = "The challenge expired before it was met; start the verification again."


def is_expired(claim: Claim, now: datetime) -> bool:
    """Tell whether a claim's challenge serves no longer. A verified domain's always does."""
    return claim.status != "verified" and claim.expires_at <= now


def renew(claim: Claim, token: str, method: Method, now: datetime) -> Claim:
    """Ask for the claim to be proven by `method`; by `token` if its own challenge has expired."""
    if not is_expired(claim, now):
        return replace(claim, method=method)
    return replace(
        claim,
        method=method,
        challenge=token,
        expires_at=now + CHALLENGE_KEPT,
        next_check_at=now + PENDING_EVERY,
        last_error=None,
    )


def prove(claim: Claim, now: datetime) -> Claim:
    """Take note that the proof was there."""
    return replace(
        claim,
        status="verified",
        verified_at=claim.verified_at if claim.status == "verified" else now,
        checked_at=now,
        expires_at=now + CHALLENGE_KEPT,
        next_check_at=now + PROVEN_EVERY,
        failed_checks=0,
        failing_since=None,
        last_error=None,
    )


def note(claim: Claim, text: str, now: datetime) -> Claim:
    """Take note of a look that somebody asked for and that failed; it counts for nothing else."""
    return replace(claim, checked_at=now, last_error=text)


def fail(claim: Claim, finding: Finding, now: datetime) -> Claim:
    """Take note of a look that was due and failed; a verified domain may lapse by it."""
    failed = replace(note(claim, finding.text, now), next_check_at=now + _pause(claim, finding))
    if claim.status != "verified" or finding.sight is Sight.UNKNOWN:
        return failed
    since, failures = claim.failing_since or now, claim.failed_checks + 1
    if failures < FAILURES_TO_LAPSE or now - since < FAILING_TO_LAPSE:
        return replace(failed, failed_checks=failures, failing_since=since)
    return replace(
        failed, status="lapsed", expires_at=now + CHALLENGE_KEPT, failed_checks=0, failing_since=None
    )


def expire(claim: Claim, now: datetime) -> Claim:
    """Look no more until the challenge is renewed."""
    return replace(note(claim, EXPIRED, now), next_check_at=None)


def _pause(claim: Claim, finding: Finding) -> timedelta:
    hourly = claim.status == "pending" or finding.sight is Sight.UNKNOWN
    return PENDING_EVERY if hourly else PROVEN_EVERY
