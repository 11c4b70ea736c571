"""Paging as the links contract does it: `page` and `per_page`."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

PageNumber: TypeAlias = Annotated[int, Meta(ge=1, description="Page number for pagination")]
PerPage: TypeAlias = Annotated[int, Meta(ge=1, le=100, description="Number of items per page")]
