"""Articles for the blog: handed in as drafts, by tenants whom the operator lets do so."""

# ruff: noqa: TC001, TC002  Litestar and msgspec resolve the annotations
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta

from control_plane.core.actor import Actor
from control_plane.core.decoding import Decoded, accept, decode_parameters
from control_plane.dialects.body import JsonBody
from control_plane.dialects.schemas import Moment
from control_plane.dialects.services import Services
from control_plane.dialects.tracking.auth import tenant_of
from control_plane.dialects.tracking.envelope import DataOut, ListOut, wrap, wrap_list
from control_plane.dialects.tracking.page import PageQueryIn, Paging
from control_plane.dialects.tracking.paths import read_id
from control_plane.domains.blog import service
from control_plane.domains.blog.model import NewArticle
from control_plane.domains.tenants.errors import TenantNotFound

if TYPE_CHECKING:
    from control_plane.domains.blog.model import Article, Standing


class BlogArticleCreateIn(msgspec.Struct, frozen=True, kw_only=True):
    """A draft. `content`: HTML or Markdown. None of the texts may be blank."""

    title: Annotated[str, Meta(max_length=170, pattern=r"\S")]
    excerpt: Annotated[str, Meta(max_length=320, pattern=r"\S")]
    content: Annotated[str, Meta(min_length=500, max_length=200_000, pattern=r"\S")]
    category_slug: Annotated[str, Meta(max_length=80, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*\Z")] | None = None


class BlogArticleOut(msgspec.Struct, frozen=True, kw_only=True):
    """One article, without its text. `status`: always draft. `author`: the tenant's name."""

    id: uuid.UUID
    title: str
    slug: str
    status: str
    is_user_generated: bool = True
    author: str
    category: str | None
    created_at: Moment


@post(
    "/blog/articles",
    status_code=201,
    dto=JsonBody[BlogArticleCreateIn],
    return_dto=None,
    opt={"scope": "blog:write"},
)
async def create_article(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
    data: JSONBody[Decoded[BlogArticleCreateIn]],
) -> DataOut[BlogArticleOut]:
    """Hand in an article as a draft. Needs the approval of support, besides the key's scope."""
    tenant_id, now, limit = tenant_of(actor), services.clock(), services.settings.blog_drafts_per_day
    headers = request.scope["state"]["response_headers"]
    async with services.transaction(tenant_id) as db:
        standing = await service.begin_writing(db, tenant_id, limit, now)
        headers.update(write_headers(standing, handed_in=0))
        new = NewArticle(**msgspec.structs.asdict(accept(data)))
        article = await service.create_draft(db, tenant_id, standing, new, now)
    headers.update(write_headers(standing, handed_in=1))
    return wrap(request, show_article(article))


@get("/blog/articles", opt={"scope": "blog:read"})
async def list_articles(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> ListOut[BlogArticleOut]:
    """List the articles that were handed in, newest first."""
    tenant_id = tenant_of(actor)
    paging = Paging("blog", tenant_id)
    asked = paging.read(accept(decode_parameters(request.query_params, PageQueryIn)))
    async with services.snapshot(tenant_id) as db:
        stretch = await service.list_articles(db, tenant_id, asked)
    return wrap_list(request, [show_article(article) for article in stretch.items], paging.show(stretch))


@put("/blog/approvals/{tenant_id:str}", status_code=204)
async def approve(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> None:
    """Let a tenant hand in drafts. For superadmins, with a session."""
    await _approve(request, services, actor, approved=True)


@delete("/blog/approvals/{tenant_id:str}", status_code=204)
async def disapprove(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    actor: NamedDependency[Actor],
) -> None:
    """Let a tenant hand in no more drafts. For superadmins, with a session."""
    await _approve(request, services, actor, approved=False)


async def _approve(
    request: Request[Any, Any, Any], services: Services, actor: Actor, *, approved: bool
) -> None:
    actor.require_superadmin()
    tenant_id = read_id(request, "tenant_id", TenantNotFound())
    async with services.system_transaction() as db:
        await service.approve_tenant(db, actor, tenant_id, approved=approved, now=services.clock())


def write_headers(standing: Standing, handed_in: int) -> dict[str, str]:
    """Say in headers how many drafts are left today. Reset: Unix seconds."""
    return {
        "X-Blog-Write-Limit": str(standing.limit),
        "X-Blog-Write-Remaining": str(standing.remaining - handed_in),
        "X-Blog-Write-Reset": str(int(standing.reset_at.timestamp())),
    }


def show_article(article: Article) -> BlogArticleOut:
    """Shape an article as this contract does."""
    return BlogArticleOut(
        id=article.id,
        title=article.title,
        slug=article.slug,
        status=article.status,
        author=article.author,
        category=article.category_slug,
        created_at=article.created_at,
    )
