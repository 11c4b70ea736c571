"""The experiment that a link is: how it stands, what was decided, and winners declared by hand."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept, decode_parameters
from control_plane.core.page import PageRequest
from control_plane.dialects.body import JsonBody
from control_plane.dialects.links.documentation import describe
from control_plane.dialects.links.page import PageNumber, PerPage
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.domains.accounts.model import Account
from control_plane.domains.experiments import service
from control_plane.domains.experiments.judgement import show_evidence
from control_plane.domains.experiments.model import Outcome, Status
from control_plane.domains.links.model import WinnerGoal

if TYPE_CHECKING:
    from control_plane.domains.experiments.model import Decision, Report, Standing


class WinnerIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which variant is to win."""

    variant: Annotated[str, Meta(min_length=1, max_length=50, description="Label or id of the variant")]


class DecisionListQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of decisions."""

    page: PageNumber | UnsetType = 1
    per_page: PerPage | UnsetType = 20


class ObstacleOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision still waits for."""

    reason: Annotated[
        str,
        Meta(
            description="nothing_to_compare, too_few_trials, within_lag, sample_ratio_mismatch, "
            "mixed_currencies, too_few_sales or undecided"
        ),
    ]
    message: str


class StandingOut(msgspec.Struct, frozen=True, kw_only=True):
    """One variant of the experiment. Intervals are of 95 %; money is in minor units of `currency`."""

    id: uuid.UUID
    label: str
    weight: int
    trials: Annotated[int, Meta(description="Human visitors whose variant was drawn by weight")]
    conversions: int
    conversion_rate: float
    conversion_rate_interval: list[float]
    revenue_minor: Annotated[int, Meta(description="Net of refunds, with upsells")]
    revenue_per_visitor_minor: float
    revenue_per_visitor_interval_minor: list[float] | None
    chance_to_win: Annotated[float, Meta(description="Bayesian, for display only")] | None
    expected_loss: Annotated[float, Meta(description="Expected shortfall to the best variant")] | None
    evidence: Annotated[
        dict[str, float],
        Meta(description="E-value of being better than each other variant, by label; at most 1e12"),
    ]


class DecisionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A decision, with the data that it rests on."""

    id: uuid.UUID
    link_id: uuid.UUID
    experiment_version: int
    link_version: Annotated[int, Meta(description="Version of the link that carries the winner")] | None
    decided_at: Moment
    outcome: Outcome
    reason: str
    variant_id: uuid.UUID | None
    variant_label: str | None
    goal: WinnerGoal
    decided_by: Annotated[uuid.UUID, Meta(description="User; null for the rule")] | None
    data: dict[str, Any]
    review: (
        Annotated[dict[str, Any], Meta(description="What the data say since, if they no longer bear it out")]
        | None
    )
    reviewed_at: Moment | None
    reverted_at: Moment | None
    reverted_by: uuid.UUID | None


class DecisionListOut(msgspec.Struct, frozen=True, kw_only=True):
    """One page of decisions. `total`: decisions on all pages."""

    items: list[DecisionOut]
    total: int
    page: int
    per_page: int


class ExperimentOut(msgspec.Struct, frozen=True, kw_only=True):
    """How an experiment stands at this moment."""

    link_id: uuid.UUID
    link_version: int
    experiment_version: Annotated[int, Meta(description="Version of the link that it began with")]
    started_at: Moment
    status: Annotated[Status, Meta(description="off: the rule is not at work on this link")]
    goal: WinnerGoal
    threshold: int
    lag_hours: int
    counted_until: Annotated[Moment, Meta(description="Younger clicks do not count yet")]
    trials: int
    young_trials: Annotated[int, Meta(description="Trials that are younger than the lag")]
    conversions: int
    currency: str | None
    evidence_needed: Annotated[float, Meta(description="E-value needed against each other variant")]
    split_evidence: Annotated[float, Meta(description="E-value of a split that is not by the weights")]
    split_limit: Annotated[float, Meta(description="From here on nothing is decided")]
    variants: list[StandingOut]
    missing: Annotated[list[ObstacleOut], Meta(description="What a decision waits for")]
    decision: DecisionOut | None


@get(
    "/{id:str}/experiment",
    operation_id="getLinkExperiment",
    opt={"scope": "links:read"},
    operation_class=describe(errors=(401, 403, 404, 429), limited=True),
    summary="Get the state of a link's experiment",
)
async def get_experiment(
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> ExperimentOut:
    """Tell how the variants of a link compare, and what is missing until a winner can be declared."""
    async with services.snapshot(account.tenant_id) as db:
        report = await service.report(db, account, link_id, services.clock())
    return show_report(report)


@get(
    "/{id:str}/decisions",
    operation_id="listLinkDecisions",
    opt={"scope": "links:read"},
    operation_class=describe(errors=(401, 403, 404, 422, 429), limited=True, parameters=DecisionListQueryIn),
    summary="List decisions about a link's winner",
)
async def list_decisions(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> DecisionListOut:
    """List what was decided of a link's experiments, newest first, with the data behind it."""
    query = accept(decode_parameters(request.query_params, DecisionListQueryIn))
    assert query.page is not UNSET
    assert query.per_page is not UNSET
    async with services.snapshot(account.tenant_id) as db:
        page = await service.list_decisions(db, account, link_id, PageRequest(query.page, query.per_page))
    items = [show_decision(item) for item in page.items]
    return DecisionListOut(items=items, total=page.total, page=page.page, per_page=page.per_page)


@post(
    "/{id:str}/winner",
    dto=JsonBody[WinnerIn],
    return_dto=None,
    status_code=201,
    operation_id="declareWinner",
    opt={"scope": "links:write"},
    operation_class=describe(errors=(401, 403, 404, 409, 413, 415, 422, 429), limited=True),
    summary="Declare a winner",
)
async def declare_winner(
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    actor: NamedDependency[Actor],
    link_id: NamedDependency[uuid.UUID],
    data: JSONBody[Decoded[WinnerIn]],
) -> DecisionOut:
    """Send all visitors of a link to one of its variants, whatever the data say."""
    wanted = accept(data)
    async with services.transaction(account.tenant_id) as db:
        decision = await service.declare(db, actor, account, link_id, wanted.variant, services.clock())
    return show_decision(decision)


@delete(
    "/{id:str}/winner",
    operation_id="revertWinner",
    opt={"scope": "links:write"},
    operation_class=describe(errors=(401, 403, 404, 429), limited=True),
    summary="Take a winner back",
)
async def revert_winner(
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    actor: NamedDependency[Actor],
    link_id: NamedDependency[uuid.UUID],
) -> None:
    """Let visitors go by weights again; a new experiment begins."""
    async with services.transaction(account.tenant_id) as db:
        await service.revert(db, actor, account, link_id, services.clock())


def show_report(report: Report) -> ExperimentOut:
    """Shape the state of an experiment."""
    setup, counts, judgement = report.setup, report.counts, report.judgement
    return ExperimentOut(
        link_id=setup.link_id,
        link_version=setup.version,
        experiment_version=setup.experiment_version,
        started_at=setup.started_at,
        status=report.status,
        goal=setup.goal,
        threshold=setup.threshold,
        lag_hours=setup.lag_hours,
        counted_until=counts.counted_until,
        trials=sum(counts.trials),
        young_trials=counts.young,
        conversions=sum(counts.conversions),
        currency=judgement.currency,
        evidence_needed=show_evidence(judgement.needed),
        split_evidence=show_evidence(judgement.split_evidence),
        split_limit=show_evidence(judgement.split_limit),
        variants=[show_standing(one) for one in judgement.standings],
        missing=[ObstacleOut(reason=one.reason, message=one.message) for one in judgement.obstacles],
        decision=show_decision(report.decision) if report.decision else None,
    )


def show_standing(one: Standing) -> StandingOut:
    """Shape one variant of an experiment."""
    return StandingOut(
        id=one.id,
        label=one.label,
        weight=one.weight,
        trials=one.trials,
        conversions=one.conversions,
        conversion_rate=one.rate,
        conversion_rate_interval=list(one.rate_interval),
        revenue_minor=one.revenue,
        revenue_per_visitor_minor=one.revenue / one.trials if one.trials else 0.0,
        revenue_per_visitor_interval_minor=list(one.revenue_interval) if one.revenue_interval else None,
        chance_to_win=one.chance,
        expected_loss=one.loss,
        evidence={label: show_evidence(value) for label, value in one.evidence.items()},
    )


def show_decision(decision: Decision) -> DecisionOut:
    """Shape a decision."""
    return DecisionOut(**msgspec.structs.asdict(decision))
