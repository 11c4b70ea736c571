"""Visits of pages, as they are listed."""

from __future__ import annotations

import uuid

import msgspec

from control_plane.domains.clicks.model import EVER, Span


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One view of a page. `id`: UUIDv7, which carries its moment. `visitor_id`: a hash, salted by the day."""

    id: uuid.UUID
    project_id: uuid.UUID
    visitor_id: int | None
    is_bot: bool
    click_id: str | None
    landing_url: str
    referrer: str | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_content: str | None
    utm_term: str | None
    campaign: str | None
    ad_group: str | None
    keyword: str | None
    network: str | None
    gclid: str | None
    country: str | None
    device: str | None


class VisitFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which visits: those for which all holds that is not None. Texts match to the letter."""

    span: Span = EVER
    project_id: uuid.UUID | None = None
    campaign: str | None = None
    ad_group: str | None = None
    keyword: str | None = None
    device: str | None = None
    country: str | None = None
