"""Passwords: which may be used, and how they are kept.

A hash takes some 20 to 40 ms of a core and 19 MiB, by design. So hashing has threads of its own, fewer than
there are cores and of low priority, and a queue with an end: whoever finds it full is told to come back.
Wrong passwords by the hundred slow other sign-ins, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.domains.passwords.errors import TooManyPasswords

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SHORTEST: Final = 8
LONGEST: Final = 256

THREADS: Final = max(1, (os.cpu_count() or 1) // 2)
WAITING: Final = 32
"""Passwords that may wait, for each thread: about a second's work."""

NICENESS: Final = 10

_COMMON: Final = Path(__file__).with_name("common_passwords.txt")


class Verdict(msgspec.Struct, frozen=True):
    """What came of a check. `is_outdated`: it was right, and is to be hashed anew with today's cost."""

    is_right: bool
    is_outdated: bool = False


class Passwords:
    """Hashes and checks passwords with Argon2id. `done` counts both, as tests of equal work want to know."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS, "password", initializer=_yield_to_others)
        self._pending = 0
        self._nobodys = self._hasher.hash(os.urandom(16).hex())
        self.done = 0

    def close(self) -> None:
        """End the threads; what waits is not hashed any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check_policy(self, password: str, field: str = "password") -> None:
        """Raise Invalid, naming `field`, for a password that may not be used."""
        plain = _normalise(password)
        if not SHORTEST <= len(plain) <= LONGEST:
            raise Invalid([Fault(field, f"must have {SHORTEST} to {LONGEST} characters")])
        if plain.lower() in _read_common():
            raise Invalid([Fault(field, "must not be one of the 3,000 commonest passwords")])

    async def hash(self, password: str) -> str:
        """Give what is stored of a password. Raises TooManyPasswords."""
        return await self._run(lambda: self._hasher.hash(_normalise(password)))

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Tell whether a password is the one that is stored. Raises TooManyPasswords.

        `stored`: None for a user who has none, or does not exist; that takes as long as any other.
        """
        return await self._run(lambda: self._verify(stored, password))

    def _verify(self, stored: str | None, password: str) -> Verdict:
        try:
            self._hasher.verify(stored or self._nobodys, _normalise(password)[: LONGEST + 1])
        except (VerificationError, InvalidHashError):
            return Verdict(is_right=False)
        if stored is None:
            return Verdict(is_right=False)
        return Verdict(is_right=True, is_outdated=self._hasher.check_needs_rehash(stored))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= THREADS * (1 + WAITING):
            raise TooManyPasswords
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._pending -= 1
            self.done += 1


def _normalise(password: str) -> str:
    """Make one text of those that look alike on different keyboards (NFKC). Nothing is cut off."""
    return unicodedata.normalize("NFKC", password)


def _yield_to_others() -> None:
    """Let this thread run when others do not want to: Linux has a priority for each."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@lru_cache(maxsize=1)
def _read_common() -> frozenset[str]:
    """Read the 3,000 commonest passwords of 8 characters or more, in the order of zxcvbn's public list."""
    return frozenset(_COMMON.read_text(encoding="utf-8").split())
