"""Appoint who administers a site: by whoever can reach its database."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Final

import asyncpg

from control_plane.core.email_addresses import read_email
from control_plane.core.errors import NotFound
from control_plane.db.pool import open_pool
from control_plane.domains.accounts.service import appoint_superadmin
from control_plane.domains.passwords.service import Passwords
from control_plane.domains.tenants.slugs import find_broken_rule
from deploy.data_folder import Login
from deploy.process import StartFailed
from deploy.servers import await_postgres

PASSWORD_BYTES: Final = 15


async def appoint_admin(database_url: str, *, tenant_slug: str, email: str) -> Login:
    """Make a superadmin with a password drawn at random, or give one who is there a new one.

    Raises StartFailed.
    """
    address, broken = read_email(email), find_broken_rule(tenant_slug)
    if address is None:
        raise StartFailed(f"--email must be an e-mail address, got {email!r}.")
    if broken is not None:
        raise StartFailed(f"--tenant {broken}, got {tenant_slug!r}.")
    await await_postgres(database_url)
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    passwords = Passwords()
    password_hash = await passwords.hash(password)
    passwords.close()
    pool = await open_pool(database_url, size=1)
    try:
        async with pool.acquire() as db, db.transaction():
            account = await appoint_superadmin(
                db, tenant_slug=tenant_slug, email=address, password_hash=password_hash, now=datetime.now(UTC)
            )
    except asyncpg.UndefinedTableError as error:
        raise StartFailed("The database was not migrated: ./switchyard migrate does that.") from error
    except NotFound as error:
        raise StartFailed(f"The tenant {tenant_slug!r} is suspended.") from error
    finally:
        await pool.close()
    return Login(account.user_id, tenant_slug, address, password)
