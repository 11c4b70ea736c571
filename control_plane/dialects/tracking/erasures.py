"""Erasures: have it forgotten who somebody was. An addition to the contract."""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

import uuid
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept, decode_parameters
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.core.ids import read_uuid
from control_plane.dialects.body import JsonBody
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.envelope import DataOut, ListOut, wrap, wrap_list
from control_plane.dialects.tracking.page import PageQueryIn, Paging
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.privacy import service
from control_plane.domains.privacy.errors import ErasureNotFound
from control_plane.domains.privacy.model import WORD_LENGTH, ErasureKind, ErasureRequest

if TYPE_CHECKING:
    from control_plane.domains.privacy.model import Erasure

Word = Annotated[str, Meta(min_length=1, max_length=WORD_LENGTH, pattern=r"^[^\x00]+\Z")]


class ErasureIn(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be erased: exactly one of a click, a visit and a visitor, by its id.

    `click_id`, `visit_id`: either id; with all that hangs together with it. `visitor_id`: as visits show it,
    with the `day` (UTC) of the visit, since visitors have another one every day. `whole_visitor`: of a click
    or visit, along with everything else of the same visitor on the same day.
    """

    click_id: Word | UnsetType = UNSET
    visit_id: Word | UnsetType = UNSET
    visitor_id: Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{16}\Z")] | UnsetType = UNSET
    day: date | UnsetType = UNSET
    whole_visitor: bool = False


class ErasureOut(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure. `status`: pending or finished.

    `click_id`, `visit_id`, `visitor_id`: what was asked for; once it is finished, only ids of ours are known.
    `clicks`, `visits`, `conversions`: in how many of them something was erased so far.
    """

    id: uuid.UUID
    kind: ErasureKind
    status: str
    click_id: str | None
    visit_id: str | None
    visitor_id: str | None
    day: date | None
    whole_visitor: bool
    clicks: int
    visits: int
    conversions: int
    requested_at: Moment
    finished_at: Moment | None


@post("/erasures", status_code=202, dto=JsonBody[ErasureIn], return_dto=None, opt={"scope": "projects:write"})
async def request_erasure(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[ErasureIn]],
) -> Response[DataOut[ErasureOut]]:
    """Have it forgotten who the visitor of a click or a visit was. Numbers stay, and what belongs together.

    Addresses, user agents, referrers, queries, ids of ad networks and browsers, texts of elements and
    reasons of refunds go, from what is there and from what is still to land. It takes about a minute.
    Asked for again: 200 with the erasure as it is.
    """
    asked, tenant_id = _settle(accept(data)), tenant_of(actor)
    async with services.transaction(tenant_id) as db:
        erasure, is_new = await service.request_erasure(db, actor, tenant_id, asked, services.clock())
    body = wrap(request, show_erasure(erasure))
    return Response(body, status_code=202 if is_new else 200, media_type=MediaType.JSON)


@get("/erasures", opt={"scope": "projects:read"})
async def list_erasures(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[ErasureOut]:
    """List erasures, newest first."""
    tenant_id = tenant_of(actor)
    paging = Paging("erasures", tenant_id)
    asked = paging.read(accept(decode_parameters(request.query_params, PageQueryIn)))
    async with services.snapshot(tenant_id) as db:
        stretch = await service.list_erasures(db, tenant_id, asked)
    return wrap_list(request, [show_erasure(erasure) for erasure in stretch.items], paging.show(stretch))


@get("/erasures/{erasure_id:str}", opt={"scope": "projects:read"})
async def get_erasure(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> DataOut[ErasureOut]:
    """Get an erasure."""
    erasure_id, tenant_id = read_id(request, "erasure_id", ErasureNotFound()), tenant_of(actor)
    async with services.transaction(tenant_id) as db:
        erasure = await service.fetch_erasure(db, tenant_id, erasure_id)
    return wrap(request, show_erasure(erasure))


def show_erasure(erasure: Erasure) -> ErasureOut:
    """Shape an erasure."""
    subjects = {
        f"{kind}_id": erasure.subject if kind is erasure.kind else None  # the kinds name their own fields
        for kind in ErasureKind
    }
    return ErasureOut(
        id=erasure.id,
        kind=erasure.kind,
        status="pending" if erasure.finished_at is None else "finished",
        day=erasure.day,
        whole_visitor=erasure.whole_visitor,
        clicks=erasure.clicks,
        visits=erasure.visits,
        conversions=erasure.conversions,
        requested_at=erasure.requested_at,
        finished_at=erasure.finished_at,
        **subjects,
    )


def _settle(said: ErasureIn) -> ErasureRequest:
    """Give what is asked for, in one spelling. Raises Invalid."""
    fields = {kind: getattr(said, f"{kind}_id") for kind in ErasureKind}
    given = {kind: word for kind, word in fields.items() if word is not UNSET}
    if len(given) != 1:
        raise Invalid([Fault("body", "must have exactly one of click_id, visit_id and visitor_id")])
    ((kind, word),) = given.items()
    is_visitor = kind is ErasureKind.VISITOR
    faults = []
    if is_visitor and said.day is UNSET:
        faults.append(Fault("day", "is required beside visitor_id"))
    if not is_visitor and said.day is not UNSET:
        faults.append(Fault("day", "must not be given without visitor_id", said.day.isoformat()))
    if is_visitor and said.whole_visitor:
        faults.append(Fault("whole_visitor", "must be false beside visitor_id", True))
    if faults:
        raise Invalid(faults)
    named = None if is_visitor else read_uuid(word)
    return ErasureRequest(
        kind=kind,
        subject=word.lower() if is_visitor else str(named or word),
        day=None if said.day is UNSET else said.day,
        whole_visitor=said.whole_visitor,
    )
