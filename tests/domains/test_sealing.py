"""Secrets at rest: what opens, what does not, and how keys are replaced."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.core.ids import new_id
from control_plane.core.sealing import (
    KeyUnknown,
    SealBroken,
    Sealer,
    read_master_key,
    unwrap_key,
    version_of,
    wrap_key,
)
from control_plane.db.data_keys import SealerSource, load_sealer
from control_plane.db.key_rotation import BATCH_SIZE, rotate_keys
from tests.builders import insert_user

if TYPE_CHECKING:
    import asyncpg

NOW = datetime(2026, 5, 4, tzinfo=UTC)
MASTER = bytes(range(32))
OTHER_MASTER = bytes(32)


class TestSealer:
    @given(st.binary(max_size=200))
    def test_opens_what_it_sealed(self, plaintext: bytes) -> None:
        sealer = Sealer({1: bytes(32), 7: bytes(range(32))})
        sealed = sealer.seal(plaintext, "here")
        assert version_of(sealed) == 7
        assert sealer.open(sealed, "here") == plaintext
        assert sealer.seal(plaintext, "here") != sealed

    @given(st.integers(min_value=0))
    def test_one_changed_bit_is_noticed(self, position: int) -> None:
        sealer = Sealer({1: bytes(32)})
        sealed = bytearray(sealer.seal(b"secret", "here"))
        sealed[position % len(sealed)] ^= 1
        with pytest.raises(SealBroken):
            sealer.open(bytes(sealed), "here")

    @pytest.mark.parametrize("sealed", [b"", b"\0", b"\0\1", b"\0\1short"])
    def test_a_stump_does_not_open(self, sealed: bytes) -> None:
        with pytest.raises(SealBroken):
            Sealer({1: bytes(32)}).open(sealed, "here")

    def test_a_value_that_is_moved_does_not_open(self) -> None:
        sealer = Sealer({1: bytes(32)})
        with pytest.raises(SealBroken):
            sealer.open(sealer.seal(b"secret", "here"), "there")

    def test_an_unknown_key_is_named(self) -> None:
        sealed = Sealer({2: bytes(32)}).seal(b"secret", "here")
        with pytest.raises(KeyUnknown, match="data key 2"):
            Sealer({1: bytes(32)}).open(sealed, "here")

    def test_another_master_key_opens_nothing(self) -> None:
        wrapped = wrap_key(bytes(32), MASTER, 1)
        assert unwrap_key(wrapped, MASTER, 1) == bytes(32)
        for key, version in ((OTHER_MASTER, 1), (MASTER, 2)):
            with pytest.raises(SealBroken):
                unwrap_key(wrapped, key, version)


class TestMasterKey:
    def test_is_read_from_base64_and_hex(self) -> None:
        for text in (MASTER.hex(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="):
            assert read_master_key(text) == MASTER
        assert read_master_key("_" * 42 + "8=") == b"\xff" * 32

    @pytest.mark.parametrize("text", ["", "short", "AAAA", "g" * 64, "?" * 44])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"hex|it has"):
            read_master_key(text)


async def insert_factors(pool: asyncpg.Pool, sealer: Sealer, count: int) -> None:
    """Store `count` sealed seeds: the bytes of their ids."""
    async with pool.acquire() as db, db.transaction():
        tenant_id, user_id = await insert_user(db)
        for factor_id in (new_id() for _ in range(count)):
            secret = sealer.seal(factor_id.bytes, f"mfa_factors.secret:{factor_id}")
            await db.execute(
                "INSERT INTO mfa_factors (tenant_id, id, user_id, kind, secret, created_at, verified_at)"
                " VALUES ($1, $2, $3, 'TOTP', $4, $5, $5)",
                tenant_id,
                factor_id,
                user_id,
                secret,
                NOW,
            )


async def check_factors(pool: asyncpg.Pool, sealer: Sealer) -> set[int]:
    """Check that every seed opens to what it was; give the versions that they are sealed with."""
    rows = await pool.fetch("SELECT id, secret FROM mfa_factors")
    for row in rows:
        assert sealer.open(row["secret"], f"mfa_factors.secret:{row['id']}") == row["id"].bytes
    return {version_of(row["secret"]) for row in rows}


class TestRotation:
    async def test_seals_everything_anew(self, pool: asyncpg.Pool) -> None:
        async with pool.acquire() as db:
            await insert_factors(pool, await load_sealer(db, MASTER, NOW), BATCH_SIZE + 3)
            done = await rotate_keys(db, MASTER, previous_master_key=None, now=NOW)
            assert (done.version, done.resealed, done.broken) == (2, BATCH_SIZE + 3, [])
            assert await check_factors(pool, await load_sealer(db, MASTER, NOW)) == {2}

    async def test_a_process_that_runs_on_learns_of_the_new_key(self, pool: asyncpg.Pool) -> None:
        source = SealerSource(pool, MASTER, lambda: NOW)
        old = await source.seal(b"secret", "here")
        async with pool.acquire() as db:
            await rotate_keys(db, MASTER, previous_master_key=None, now=NOW)
            new = (await load_sealer(db, MASTER, NOW)).seal(b"secret", "here")
        assert (version_of(old), version_of(new)) == (1, 2)
        assert await source.open(new, "here") == await source.open(old, "here") == b"secret"
        assert version_of(await source.seal(b"secret", "here")) == 2

    async def test_replaces_the_master_key(self, pool: asyncpg.Pool) -> None:
        async with pool.acquire() as db:
            await insert_factors(pool, await load_sealer(db, OTHER_MASTER, NOW), 3)
            with pytest.raises(SealBroken):
                await load_sealer(db, MASTER, NOW)
            assert (await load_sealer(db, MASTER, NOW, OTHER_MASTER)).version == 1
            await rotate_keys(db, MASTER, previous_master_key=OTHER_MASTER, now=NOW)
            assert await check_factors(pool, await load_sealer(db, MASTER, NOW)) == {2}
            with pytest.raises(SealBroken):
                await load_sealer(db, OTHER_MASTER, NOW)

    async def test_with_a_wrong_master_key_nothing_changes(self, pool: asyncpg.Pool) -> None:
        async with pool.acquire() as db:
            await insert_factors(pool, await load_sealer(db, MASTER, NOW), 3)
            with pytest.raises(SealBroken):
                await rotate_keys(db, OTHER_MASTER, previous_master_key=os.urandom(32), now=NOW)
            assert await check_factors(pool, await load_sealer(db, MASTER, NOW)) == {1}

    async def test_what_does_not_open_is_named_and_left(self, pool: asyncpg.Pool) -> None:
        async with pool.acquire() as db:
            await insert_factors(pool, await load_sealer(db, MASTER, NOW), 3)
            broken = await pool.fetchval(
                "UPDATE mfa_factors SET secret = overlay(secret PLACING '\\xffff' FROM 20)"
                " WHERE id = (SELECT min(id::text)::uuid FROM mfa_factors) RETURNING id"
            )
            done = await rotate_keys(db, MASTER, previous_master_key=None, now=NOW)
        assert (done.resealed, done.broken) == (2, [f"mfa_factors.secret:{broken}"])
