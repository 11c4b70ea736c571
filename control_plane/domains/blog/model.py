"""Articles for the blog, handed in as drafts, and how many more a tenant may hand in."""

from __future__ import annotations

import uuid
from datetime import datetime

import msgspec


class NewArticle(msgspec.Struct, frozen=True, kw_only=True):
    """An article to hand in. `content`: HTML or Markdown, kept as it is and shown nowhere."""

    title: str
    excerpt: str
    content: str
    category_slug: str | None = None


class Article(msgspec.Struct, frozen=True, kw_only=True):
    """An article, without its text. `slug`: of its title, unlike those of the tenant's others."""

    id: uuid.UUID
    slug: str
    title: str
    category_slug: str | None
    author: str
    status: str
    created_at: datetime


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a tenant stands today (UTC). `author`: its name. `reset_at`: when the day ends."""

    author: str
    limit: int
    used: int
    reset_at: datetime

    @property
    def remaining(self) -> int:
        """How many drafts may still be handed in today."""
        return max(0, self.limit - self.used)
