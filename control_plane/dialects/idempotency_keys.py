"""The Idempotency-Key header, the same for every dialect that heeds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from control_plane.core.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from litestar import Request

HEADER: Final = "Idempotency-Key"
LONGEST: Final = 255


def read_idempotency_key(request: Request[Any, Any, Any]) -> tuple[str | None, Sequence[Fault]]:
    """Read the header: (key or None, faults)."""
    key = request.headers.get(HEADER)
    if key is None:
        return None, ()
    if 1 <= len(key) <= LONGEST and all("!" <= character <= "~" for character in key):
        return key, ()
    return None, (Fault(HEADER, f"must be 1 to {LONGEST} visible ASCII characters", key),)
