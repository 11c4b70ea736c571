"""Take in reports that somebody waits for the outcome of: each is created, known already, or refused.

What is refused leaves no trace, and does not touch the reports beside it. All of it is judged while the
projects' conversions are held, so that nothing comes between the look and the deed.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from control_plane.core.errors import DomainError, Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import new_id
from control_plane.domains.conversions import store
from control_plane.domains.conversions.errors import (
    ConversionDiffers,
    CurrencyDiffers,
    RefundExceedsSale,
)
from control_plane.domains.conversions.model import ConversionRow, make_row
from control_plane.domains.conversions.service import land
from control_plane.domains.traffic.changes import Changes
from control_plane.domains.traffic.store import write_changes
from edge.contract.events import Conversion, ConversionKind
from edge.contract.money import BadMoneyError, format_amount, parse_amount, parse_currency

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.conversions.store import ExternalKey, ReportedProject

    Known: TypeAlias = dict[ExternalKey, ConversionRow]

_COMMON_STATUSES: Final = ("pending", "completed", "rejected")
_CHECKOUT_STATUSES: Final = ("pending", "completed", "abandoned", "rejected")
_TEXTS: Final = (
    "visit_id",
    "click_id",
    "checkout_id",
    "sale_id",
    "parent_sale_id",
    "product_id",
    "offer_id",
    "transaction_id",
    "reason",
)
_MONEY: Final = ("amount", "commission")
FORGOTTEN_WORDS: Final = ("visit_id", "click_id", "reason")
"""What may be gone of a conversion whose visitor was forgotten (domains/privacy)."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout, sale, refund or upsell as somebody reports it; None is what is not said.

    `project_id`: may be left out where there is one project only. `external_id`: what the reporter calls it.
    `amount`, `commission`: decimal numbers as they were written.
    """

    kind: ConversionKind
    external_id: str
    project_id: uuid.UUID | None = None
    amount: str | None = None
    commission: str | None = None
    currency: str | None = None
    status: str | None = None
    visit_id: str | None = None
    click_id: str | None = None
    checkout_id: str | None = None
    sale_id: str | None = None
    parent_sale_id: str | None = None
    product_id: str | None = None
    offer_id: str | None = None
    transaction_id: str | None = None
    reason: str | None = None
    is_chargeback: bool | None = None


class Reported(msgspec.Struct, frozen=True):
    """What became of a report: the conversion that it is, or why it was refused."""

    row: ConversionRow | None
    is_new: bool = False
    refusal: DomainError | None = None


async def take_in(
    db: Connection, tenant_id: uuid.UUID, reports: Sequence[Report | DomainError], now: datetime
) -> list[Reported]:
    """Take in reports of one tenant, each by itself; give what became of each, in their order.

    What the caller refused already stays refused. `db`: in a transaction, which writes sums as its last deed.
    """
    outcomes: dict[int, Reported] = {}
    accepted: dict[int, Conversion] = {}
    projects = await _find_projects(db, tenant_id, reports)
    known = await _lock_known(db, tenant_id, reports, projects)
    so_far = dict(known)
    for index, report in enumerate(reports):
        try:
            if isinstance(report, DomainError):
                raise report
            event = _accept(report, tenant_id, projects, so_far)
        except DomainError as error:
            outcomes[index] = Reported(None, refusal=error)
        else:
            accepted[index] = event
    landed: dict[int, Reported] = {}
    while accepted and not landed:
        landed, refused = await _try(db, tenant_id, accepted, known, now)
        for index, refusal in refused.items():
            outcomes[index] = Reported(None, refusal=refusal)
            del accepted[index]
    return [(outcomes | landed)[index] for index in range(len(reports))]


async def _try(
    db: Connection, tenant_id: uuid.UUID, accepted: dict[int, Conversion], known: Known, now: datetime
) -> tuple[dict[int, Reported], dict[int, DomainError]]:
    """Land reports, unless some of them are refused: then nothing has happened. Gives (landed, refused)."""
    reported: dict[int, Reported] = {}
    refused: dict[int, DomainError] = {}
    changes, savepoint = Changes(), db.transaction()
    await savepoint.start()
    landed = await land(db, list(accepted.values()), changes, now)
    for (index, event), one in zip(accepted.items(), landed, strict=True):
        assert one.row is not None, one.outcome
        before = known.get(_key_of(one.row))
        was_rejected = before is not None and before.status == "rejected"
        if one.row.rejection is not None and not was_rejected:
            refused[index] = await _explain(db, tenant_id, one.row)
        reported[index] = Reported(one.row, is_new=one.row.id.bytes == event.id)
    if refused:
        await savepoint.rollback()
        return {}, refused
    await write_changes(db, changes)
    await savepoint.commit()
    return reported, {}


async def _explain(db: Connection, tenant_id: uuid.UUID, row: ConversionRow) -> DomainError:
    """Say why a refund or upsell was rejected, by what it belongs to."""
    assert row.target_id is not None
    (target,) = await store.find_by_ids(db, [(tenant_id, row.target_id)])
    return CurrencyDiffers(row, target) if row.currency != target.currency else RefundExceedsSale(row, target)


async def _find_projects(
    db: Connection, tenant_id: uuid.UUID, reports: Sequence[Report | DomainError]
) -> dict[uuid.UUID | None, ReportedProject]:
    """Find the projects that reports name; at None the only one, if there is only one."""
    named = {
        report.project_id
        for report in reports
        if isinstance(report, Report) and report.project_id is not None
    }
    found: dict[uuid.UUID | None, ReportedProject] = {}
    found |= {project.id: project for project in await store.find_reported_projects(db, tenant_id, named)}
    if any(isinstance(report, Report) and report.project_id is None for report in reports):
        first = await store.find_first_projects(db, tenant_id, 2)
        if len(first) == 1:
            found[None] = first[0]
    return found


async def _lock_known(
    db: Connection,
    tenant_id: uuid.UUID,
    reports: Sequence[Report | DomainError],
    projects: dict[uuid.UUID | None, ReportedProject],
) -> Known:
    """Hold the conversions of the projects, and find those that were reported before."""
    keys: set[ExternalKey] = {
        (tenant_id, projects[report.project_id].id, report.kind, report.external_id)
        for report in reports
        if isinstance(report, Report) and report.project_id in projects
    }
    if not keys:
        return {}
    await store.lock_projects(db, {key[:2] for key in keys})
    return {_key_of(row): row for row in await store.find_by_external_ids(db, keys)}


def _accept(
    report: Report, tenant_id: uuid.UUID, projects: dict[uuid.UUID | None, ReportedProject], so_far: Known
) -> Conversion:
    """Make the event of a report. Raises Invalid, ConversionDiffers. `so_far`: takes it up if it is new."""
    project = projects.get(report.project_id)
    if project is None or project.status != "active":
        raise Invalid([_refuse_project(report, project)])
    key = (tenant_id, project.id, report.kind, report.external_id)
    before = so_far.get(key)
    currency, status = (before.currency, before.status) if before else (project.currency, "completed")
    event = build(report, tenant_id, project.id, currency=currency, status=status)
    row = make_row(event)
    if before is None:
        so_far[key] = row
    elif faults := compare(report, row, before):
        raise ConversionDiffers(faults)
    return event


def _refuse_project(report: Report, project: ReportedProject | None) -> Fault:
    if project is not None:
        return Fault("project_id", f"must be of an active project; this one is {project.status}", project.id)
    if report.project_id is None:
        return Fault("project_id", "is required, unless there is exactly one project")
    return Fault("project_id", "must be the id of a project", report.project_id)


def build(
    report: Report, tenant_id: uuid.UUID, project_id: uuid.UUID, *, currency: str, status: str
) -> Conversion:
    """Make the event of a report. `currency`, `status`: where it names none.

    Raises Invalid with every fault.
    """
    status = status if report.status is None else report.status
    faults = _check(report, status)
    money = dict.fromkeys(_MONEY, 0)
    try:
        currency = parse_currency(report.currency or currency)
    except BadMoneyError as error:
        faults.append(Fault("currency", str(error), report.currency))
    else:
        for name in _MONEY:
            text = getattr(report, name)
            try:
                money[name] = 0 if text is None else parse_amount(text, currency)
            except BadMoneyError as error:
                faults.append(Fault(name, str(error), text))
    if faults:
        raise Invalid(faults)
    return Conversion(
        id=new_id().bytes,
        tenant_id=tenant_id.bytes,
        project_id=project_id.bytes,
        kind=report.kind,
        external_id=report.external_id,
        status=status,
        source="api",
        is_chargeback=bool(report.is_chargeback),
        currency=currency,
        amount_minor=money["amount"],
        commission_minor=money["commission"],
        **{name: getattr(report, name) or "" for name in _TEXTS},
    )


def _check(report: Report, status: str) -> list[Fault]:
    """Find the faults of a report, but for those of its money."""
    faults: list[Fault] = []
    is_checkout = report.kind is ConversionKind.CHECKOUT
    statuses = _CHECKOUT_STATUSES if is_checkout else _COMMON_STATUSES
    if status not in statuses:
        faults.append(Fault("status", f"must be one of {', '.join(statuses)}", status))
    if report.kind is ConversionKind.REFUND and not report.sale_id:
        faults.append(Fault("sale_id", "is required"))
    if report.kind is ConversionKind.UPSELL and not (report.sale_id or report.parent_sale_id):
        faults.append(Fault("sale_id", "is required, unless there is a parent_sale_id"))
    if report.amount is None and not is_checkout and status != "rejected":
        faults.append(Fault("amount", "is required"))
    return faults


def compare(report: Report, row: ConversionRow, before: ConversionRow) -> list[Fault]:
    """Say in which fields a report, whose row is `row`, differs from what was reported before.

    What it leaves out is no difference, nor is its status: that has moved on since, or moves on now. Nor is
    what was forgotten meanwhile, of whoever it was about.
    """
    gone = {name for name in FORGOTTEN_WORDS if before.is_forgotten and getattr(before, name) is None}
    faults = [
        Fault(name, f"must be {getattr(before, name)!r}, as reported before", getattr(report, name))
        for name in (*_TEXTS, "is_chargeback")
        if name not in gone
        and getattr(report, name) is not None
        and getattr(row, name) != getattr(before, name)
    ]
    if row.currency != before.currency:
        faults.append(Fault("currency", f"must be {before.currency}, as reported before", row.currency))
    for name in _MONEY:
        minor = getattr(before, f"{name}_minor")
        if getattr(report, name) is not None and getattr(row, f"{name}_minor") != minor:
            rule = f"must be {format_amount(minor, before.currency)}, as reported before"
            faults.append(Fault(name, rule, getattr(report, name)))
    return faults


def _key_of(row: ConversionRow) -> ExternalKey:
    return (row.tenant_id, row.project_id, row.kind, row.external_id)
