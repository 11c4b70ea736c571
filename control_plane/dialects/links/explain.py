"""Where a visitor of a link would be sent, and why: a dry run that counts nothing."""

# ruff: noqa: TC001, TC002  Litestar resolves the annotations of handlers and dependencies
from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from msgspec import UNSET, Meta, UnsetType

from control_plane.core.decoding import decode_parameters
from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.dialects.links.documentation import describe
from control_plane.dialects.services import Services
from control_plane.domains.accounts.model import Account
from control_plane.domains.explanations import service
from control_plane.domains.links.countries import COUNTRY_CODES


class ExplainQueryIn(msgspec.Struct, frozen=True, kw_only=True):
    """Of which visitor."""

    country: (
        Annotated[str, Meta(description="ISO 3166-1 alpha-2 code; without it the country is unknown")]
        | UnsetType
    ) = UNSET
    user_agent: Annotated[str, Meta(max_length=1024)] | UnsetType = UNSET
    variant: (
        Annotated[
            str, Meta(max_length=50, description="Label or id of the variant that the visitor's cookie names")
        ]
        | UnsetType
    ) = UNSET


class StepOut(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, in the order that the edge looks at them."""

    step: Annotated[
        str, Meta(description="active, winner, geo, geo_default, sticky, fingerprint or weight, in order")
    ]
    applies: Annotated[bool, Meta(description="Whether it decides; of active: whether the link redirects")]
    why: str


class ChanceOut(msgspec.Struct, frozen=True, kw_only=True):
    """A variant that the visitor may be sent to. `probability`: 1 where a rule settles it."""

    id: uuid.UUID
    label: str
    destination_url: str
    weight: int
    probability: float


class ExplanationOut(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen."""

    link_id: uuid.UUID
    version: int
    steps: list[StepOut]
    decided_by: Annotated[str, Meta(description="The step that decides; null: no redirect")] | None
    variants: list[ChanceOut]
    is_bot: Annotated[bool, Meta(description="By user agent alone; null when none was given")] | None
    bot_reason: str | None


@get(
    "/{id:str}/explain",
    operation_id="explainLink",
    opt={"scope": "links:read"},
    operation_class=describe(errors=(401, 403, 404, 422, 429), limited=True, parameters=ExplainQueryIn),
    summary="Explain where a visitor would be sent",
)
async def explain_link(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    account: NamedDependency[Account],
    link_id: NamedDependency[uuid.UUID],
) -> ExplanationOut:
    """Say rule by rule where a visitor would be sent now. Nobody is redirected, and nothing is counted."""
    query = decode_parameters(request.query_params, ExplainQueryIn)
    faults, given = [*query.faults], query.value
    country = "" if given.country is UNSET else given.country
    if country and country not in COUNTRY_CODES:
        faults.append(Fault("country", "must be an ISO 3166-1 alpha-2 code such as DE", country))
    if faults:
        raise Invalid(faults)
    user_agent = None if given.user_agent is UNSET else given.user_agent
    variant = None if given.variant is UNSET else given.variant
    async with services.snapshot(account.tenant_id) as db:
        found = await service.explain_link(
            db, account, link_id, country=country, variant=variant, user_agent=user_agent
        )
    return ExplanationOut(
        link_id=found.link_id,
        version=found.version,
        steps=[StepOut(step=one.name, applies=one.applies, why=one.why) for one in found.steps],
        decided_by=found.decided_by,
        variants=[ChanceOut(**msgspec.structs.asdict(one)) for one in found.chances],
        is_bot=None if user_agent is None else found.bot_reason is not None,
        bot_reason=found.bot_reason,
    )
