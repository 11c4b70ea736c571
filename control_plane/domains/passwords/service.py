"""Passwords: which may be used, and how they are kept."""

from __future__ import annotations

import asyncio
from typing import Final

from argon2 import PasswordHasher

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault

SHORTEST: Final = 8
LONGEST: Final = 256


class Passwords:
    """Hashes passwords off the event loop, two at a time: each takes 19 MiB."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._slots = asyncio.Semaphore(2)

    def check_policy(self, password: str) -> None:
        """Raise Invalid for a password that may not be used."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise Invalid([Fault("password", f"must have {SHORTEST} to {LONGEST} characters")])

    async def hash(self, password: str) -> str:
        """Give what is stored of a password."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)
