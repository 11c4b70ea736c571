"""Look at experiments, declare winners, take them back, and show how things stand.

What visitors did is counted first, in a transaction that only reads. A decision is taken in another one that
holds the link, and only if the experiment is still the one that was counted; it changes the link, queues its
publication, and writes down decision and audit, all or nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from control_plane.core.actor import SYSTEM
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import EPOCH, new_id
from control_plane.core.page import Page
from control_plane.domains.audit import service as audit
from control_plane.domains.experiments import store
from control_plane.domains.experiments.errors import NoExperiment, NoWinner, WinnerDeclared
from control_plane.domains.experiments.judgement import judge, show_evidence
from control_plane.domains.experiments.model import HORIZON, Candidate, Decision, Report
from control_plane.domains.links import service as links
from control_plane.domains.links import store as link_store
from control_plane.domains.links.errors import LinkNotFound

if TYPE_CHECKING:
    import uuid
    from datetime import datetime

    from control_plane.core.actor import Actor
    from control_plane.core.page import PageRequest
    from control_plane.db.pool import Connection
    from control_plane.domains.accounts.model import Account
    from control_plane.domains.experiments.model import Counts, Judgement, Setup, Status

CLOCK_SKEW: Final = timedelta(hours=1)
"""Clicks are sought from so long before an experiment's start: edges' clocks are not ours. Which of
them count is told by the version of the link, not by clocks."""

PAUSE: Final = timedelta(minutes=1)
PAUSES: Final = 500
"""An experiment is looked at every minute, and from the ninth hour on whenever it has grown by a 500th: that
delays no decision by more than 0.2 %, and bounds what a look at all of its clicks costs."""

LATE: Final = timedelta(hours=1)
"""An experiment without news is counted anew so often all the same: clicks may have landed late."""

REVIEWED_FOR: Final = timedelta(days=90)
"""How long after its decision a winner is reviewed: refunds and chargebacks come late."""

REVIEW_PAUSE: Final = timedelta(hours=1)


async def report(db: Connection, account: Account, link_id: uuid.UUID, now: datetime) -> Report:
    """Say how a link's experiment stands. `db`: in a transaction with one snapshot. Raises LinkNotFound."""
    await links.fetch_link(db, account, link_id)
    setup = await _fetch_setup(db, account.tenant_id, link_id)
    decision = await store.fetch_decision(db, account.tenant_id, link_id, setup.experiment_version)
    counts = await _count(db, setup, now)
    return Report(
        setup=setup,
        status=_find_status(setup, decision),
        counts=counts,
        judgement=judge(setup, counts),
        decision=decision,
    )


async def list_decisions(
    db: Connection, account: Account, link_id: uuid.UUID, page: PageRequest
) -> Page[Decision]:
    """List what was decided of a link's experiments, newest first. Raises LinkNotFound."""
    await links.fetch_link(db, account, link_id)
    items, total = await store.list_decisions(db, account.tenant_id, link_id, page)
    return Page(items, total, page.page, page.per_page)


async def declare(  # noqa: PLR0913, PLR0917  who, for whom, where, what, when
    db: Connection, actor: Actor, account: Account, link_id: uuid.UUID, variant: str, now: datetime
) -> Decision:
    """Declare a winner by hand. `variant`: its label or its id.

    Raises LinkNotFound, NoExperiment, WinnerDeclared, Invalid.
    """
    if not await link_store.lock_link(db, account, link_id):
        raise LinkNotFound
    setup = await _fetch_setup(db, account.tenant_id, link_id)
    if setup.routing_type != "ab_test":
        raise NoExperiment
    if setup.winner is not None:
        raise WinnerDeclared(setup.winner.label)
    chosen = next((one for one in setup.variants if variant in {one.label, str(one.id)}), None)
    if chosen is None:
        raise Invalid([Fault("variant", "must be the label or the id of a variant of the link", variant)])
    if await store.fetch_decision(db, account.tenant_id, link_id, setup.experiment_version) is not None:
        # It ended without a winner; what is decided now is decided of another one.
        await store.begin_anew(db, account.tenant_id, link_id, now)
        setup = await _fetch_setup(db, account.tenant_id, link_id)
    counts = await _count(db, setup, now)
    data = _keep_data(setup, counts, judge(setup, counts), now)
    return await _declare(db, actor, setup, chosen, data, now=now)


async def revert(db: Connection, actor: Actor, account: Account, link_id: uuid.UUID, now: datetime) -> None:
    """Take a winner back: visitors go by weights again, and a new experiment begins.

    Raises LinkNotFound, NoWinner.
    """
    if not await link_store.lock_link(db, account, link_id):
        raise LinkNotFound
    setup = await _fetch_setup(db, account.tenant_id, link_id)
    if setup.winner is None:
        raise NoWinner
    await link_store.end_winner(db, account, link_id, now)
    version = await store.begin_anew(db, account.tenant_id, link_id, now)
    await link_store.enqueue_publication(db, account.tenant_id, link_id)
    await audit.record(
        db,
        actor,
        account.tenant_id,
        "link.winner.revert",
        ("link", link_id),
        now=now,
        before={"winner": setup.winner.label, "version": setup.version},
        after={"winner": None, "version": version},
    )


async def look(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, now: datetime) -> Report | None:
    """Count an experiment as the rule does; None where there is nothing new since its last look.

    Writes nothing; what follows from it is for `conclude`.
    """
    setup = await store.fetch_setup(db, tenant_id, link_id)
    if setup is None or _find_status(setup, None) != "running":
        return None
    until = now - setup.lag
    is_fresh = setup.looked_at is not None and now - setup.looked_at < LATE
    if is_fresh and not _is_over(setup, until) and not await store.has_news(db, setup, until, now - LATE):
        return None
    counts = await _count(db, setup, now)
    return Report(setup=setup, status="running", counts=counts, judgement=judge(setup, counts), decision=None)


async def conclude(db: Connection, seen: Report, now: datetime) -> Decision | None:
    """Do what follows from a look: decide, or say when to look again.

    Nothing, where the experiment has become another one since, was decided, or the rule was switched off.
    """
    seen_setup = seen.setup
    tenant_id, link_id = seen_setup.tenant_id, seen_setup.link_id
    if not await store.lock_link(db, tenant_id, link_id):
        return None
    setup = await _fetch_setup(db, tenant_id, link_id)
    decided = await store.fetch_decision(db, tenant_id, link_id, setup.experiment_version)
    if setup.experiment_version != seen_setup.experiment_version or _find_status(setup, decided) != "running":
        await put_off(db, tenant_id, link_id, now)
        return None
    counts, judgement = seen.counts, seen.judgement
    age = timedelta(0) if counts.first_trial_at is None else now - counts.first_trial_at
    await store.put_look(
        db,
        setup,
        looked_at=now,
        counted_until=counts.counted_until,
        first_trial_at=counts.first_trial_at,
        next_look_at=now + max(PAUSE, age / PAUSES),
    )
    if judgement.verdict is None:
        return None
    data = _keep_data(setup, counts, judgement, now)
    if judgement.winner is not None:
        return await _declare(db, SYSTEM, setup, judgement.winner, data, now=now)
    return await _end(db, setup, judgement, data, now)


async def put_off(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, now: datetime) -> None:
    """Look at an experiment again in a while: nothing is new, or it could not be looked at."""
    setup = await store.fetch_setup(db, tenant_id, link_id)
    if setup is not None:
        age = now - (setup.first_trial_at or now)
        await store.put_off(db, tenant_id, link_id, now, now + max(PAUSE, age / PAUSES))


async def review(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID, now: datetime) -> bool:
    """Count the visitors of a decided experiment again; give whether they still bear the winner out.

    The same visitors: those that the decision counted; but with all that came to be known of them since, as
    refunds after the lag, sales that were rejected, and other verdicts on who is human.
    """
    setup = await _fetch_setup(db, tenant_id, link_id)
    decision = await store.fetch_decision(db, tenant_id, link_id, setup.experiment_version)
    if decision is None or decision.variant_id is None or decision.reverted_at is not None:
        return True
    setup = msgspec.structs.replace(setup, goal=decision.goal, lag_hours=decision.data["lag_hours"])
    until = msgspec.convert(decision.data["counted_until"], type(now))
    window = setup.lag if setup.lag_hours else None
    counts = await store.count(
        db, setup, setup.started_at - CLOCK_SKEW, until, sale_window=window, change_window=None
    )
    judgement = judge(setup, counts)
    holds = judgement.winner is not None and judgement.winner.id == decision.variant_id
    found = None if holds else _keep_data(setup, counts, judgement, now)
    await store.put_review(db, tenant_id, decision.id, found, now)
    if (found is None) != (decision.review is None):
        await audit.record(
            db,
            SYSTEM,
            tenant_id,
            "link.winner.review",
            ("link", link_id),
            now=now,
            after={"winner": decision.variant_label, "is_borne_out": holds, "reason": judgement.reason},
        )
    return holds


async def _fetch_setup(db: Connection, tenant_id: uuid.UUID, link_id: uuid.UUID) -> Setup:
    setup = await store.fetch_setup(db, tenant_id, link_id)
    if setup is None:
        raise LinkNotFound
    return setup


def _find_status(setup: Setup, decision: Decision | None) -> Status:
    if setup.winner is not None:
        return "winner"
    if setup.routing_type != "ab_test" or not setup.auto_winner or not setup.is_active:
        return "off"
    return "no_winner" if decision is not None else "running"


def _is_over(setup: Setup, until: datetime) -> bool:
    return setup.first_trial_at is not None and until - setup.first_trial_at >= HORIZON


async def _count(db: Connection, setup: Setup, now: datetime) -> Counts:
    since, until = setup.started_at - CLOCK_SKEW, now - setup.lag
    window = setup.lag if setup.lag_hours else None
    return await store.count(
        db, setup, max(EPOCH, since), max(since, until), sale_window=window, change_window=window
    )


async def _declare(  # noqa: PLR0913  who, where, which, why, when
    db: Connection, actor: Actor, setup: Setup, chosen: Candidate, data: dict[str, Any], *, now: datetime
) -> Decision:
    version = await store.mark_winner(db, setup.tenant_id, setup.link_id, chosen.id, now)
    await link_store.enqueue_publication(db, setup.tenant_id, setup.link_id)
    decision = Decision(
        id=new_id(),
        link_id=setup.link_id,
        experiment_version=setup.experiment_version,
        link_version=version,
        decided_at=now,
        outcome="winner",
        reason="evidence" if actor is SYSTEM else "by_hand",
        variant_id=chosen.id,
        variant_label=chosen.label,
        goal=setup.goal,
        decided_by=actor.user_id,
        data=data,
    )
    await _write(db, actor, setup, decision)
    return decision


async def _end(
    db: Connection, setup: Setup, judgement: Judgement, data: dict[str, Any], now: datetime
) -> Decision:
    decision = Decision(
        id=new_id(),
        link_id=setup.link_id,
        experiment_version=setup.experiment_version,
        link_version=None,
        decided_at=now,
        outcome="no_winner",
        reason=judgement.reason,
        variant_id=None,
        variant_label=None,
        goal=setup.goal,
        decided_by=None,
        data=data,
    )
    await _write(db, SYSTEM, setup, decision)
    return decision


async def _write(db: Connection, actor: Actor, setup: Setup, decision: Decision) -> None:
    await store.insert_decision(db, setup.tenant_id, decision)
    await audit.record(
        db,
        actor,
        setup.tenant_id,
        f"link.{decision.outcome}",
        ("link", setup.link_id),
        now=decision.decided_at,
        before={"winner": None, "version": setup.version},
        after={
            "winner": decision.variant_label,
            "version": decision.link_version or setup.version,
            "reason": decision.reason,
        },
    )


def _keep_data(setup: Setup, counts: Counts, judgement: Judgement, now: datetime) -> dict[str, Any]:
    """Give what a decision rests on, as it is kept and shown. Evidence as e-values, not logarithms."""
    data: dict[str, Any] = msgspec.to_builtins(
        {
            "counted_at": now,
            "counted_from_version": setup.experiment_version,
            "counted_until": counts.counted_until,
            "first_trial_at": counts.first_trial_at,
            "goal": setup.goal,
            "lag_hours": setup.lag_hours,
            "threshold": setup.threshold,
            "reason": judgement.reason,
            "obstacles": judgement.obstacles,
            "evidence_needed": show_evidence(judgement.needed),
            "split_evidence": show_evidence(judgement.split_evidence),
            "split_limit": show_evidence(judgement.split_limit),
            "currency": judgement.currency,
            "variants": judgement.standings,
        }
    )
    for variant in data["variants"]:
        variant["evidence"] = {label: show_evidence(one) for label, one in variant["evidence"].items()}
    return data
