"""What a domain can refuse, as types.

    DomainError
    ├── Invalid            the request breaks rules; carries every fault
    ├── Unauthenticated    nobody, or nobody that we know
    ├── Forbidden          known, but not allowed
    ├── NotFound           no such thing for this caller
    ├── Conflict           at odds with what is there
    ├── RateLimited        too many requests; carries when to come back
    └── Unavailable        cannot be done at this moment

Each domain derives its own errors, with a stable `code` and the data that explain them.
None knows of HTTP: every dialect maps the families to its own statuses and envelope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from control_plane.core.faults import Fault


class DomainError(Exception):
    """Base of everything that a domain refuses. `str(error)` is fit to be shown to the caller."""

    code: ClassVar[str]
    commits: ClassVar[bool] = False
    """Whether what led to the refusal is kept, as the count of failed attempts is."""


class Invalid(DomainError):  # noqa: N818  the house names an error for what happened
    """The request breaks rules. `faults`: every one that was found, at least one."""

    code = "invalid"

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


class Unauthenticated(DomainError):  # noqa: N818  the house names an error for what happened
    """The caller did not prove who they are."""

    code = "unauthenticated"


class Forbidden(DomainError):  # noqa: N818  the house names an error for what happened
    """The caller is known and may not do this."""

    code = "forbidden"


class NotFound(DomainError):  # noqa: N818  the house names an error for what happened
    """There is no such thing, or it belongs to someone else."""

    code = "not_found"


class Conflict(DomainError):  # noqa: N818  the house names an error for what happened
    """The request is at odds with what is already there."""

    code = "conflict"


class RateLimited(DomainError):  # noqa: N818  the house names an error for what happened
    """The caller has used up their requests. `retry_after_s`: whole seconds until more are allowed."""

    code = "rate_limited"

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("Rate limit exceeded. Please try again later.")
        self.retry_after_s = retry_after_s


class Unavailable(DomainError):  # noqa: N818  the house names an error for what happened
    """Nothing is wrong with the request; it cannot be done at this moment."""

    code = "unavailable"
