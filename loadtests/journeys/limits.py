"""What a run must keep to, and sentences for what it did not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from loadtests.journeys.plan import Outcome


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a run; None: no limit. `p99_ms` is about redirects, `min_rps` about all requests."""

    max_failures: int = 0
    p99_ms: float | None = None
    api_p99_ms: float | None = None
    min_rps: float | None = None


def find_missed(limits: Limits, outcome: Outcome, landed: dict[str, int]) -> list[str]:
    """Give a sentence for each limit that was missed. `landed`: clicks that the API counts, by slug."""
    missed = []
    failures = outcome.total.failures + outcome.crashes
    if failures > limits.max_failures:
        reason, count = outcome.reasons[0] if outcome.reasons else ("no reason known", failures)
        missed.append(
            f"{failures} of {outcome.total.requests} requests failed, --max-failures allows"
            f" {limits.max_failures}; most often ({count} times): {reason}."
        )
    for option, limit_ms, name, figures in (
        ("--p99-ms", limits.p99_ms, "redirects", outcome.visits),
        ("--api-p99-ms", limits.api_p99_ms, "the API", outcome.api),
    ):
        if limit_ms is None:
            continue
        if not figures.requests:
            missed.append(f"{option} {limit_ms:.10g} cannot be judged: the run has no figures for {name}.")
        elif figures.p99_ms > limit_ms:
            missed.append(f"The p99 of {name} was {figures.p99_ms:g} ms, {option} allows {limit_ms:.10g}.")
    if limits.min_rps is not None and outcome.per_second < limits.min_rps:
        missed.append(
            f"{outcome.per_second:.1f} requests/s were made, --min-rps asks for {limits.min_rps:.10g}."
        )
    if not outcome.total.requests:
        missed.append("No request was made.")
    return missed + find_miscounted(outcome.redirects, landed)


def find_miscounted(received: dict[str, int], landed: dict[str, int]) -> list[str]:
    """Compare redirects that were received with clicks that landed, link by link; one sentence at most."""
    wrong = {
        slug: (received.get(slug, 0), landed.get(slug, 0))
        for slug in sorted(received.keys() | landed.keys())
        if received.get(slug, 0) != landed.get(slug, 0)
    }
    if not wrong:
        return []
    slug, (answers, clicks) = next(iter(wrong.items()))
    return [
        (
            f"{sum(received.values())} redirects were received, {sum(landed.values())} clicks landed:"
            f" {len(wrong)} links differ, the first is {slug} with {answers} redirects and {clicks} clicks."
        )
    ]
