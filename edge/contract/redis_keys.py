"""Every key, stream, channel and group name in Redis, with the version of the layout.

A layout that old processes could misread gets a new PREFIX; both then live side by side until
the old processes are gone. Braces are hash tags: Redis Cluster keeps what shares one together.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "sy1"

FLUSHER_GROUP: Final = "flusher"
"""Consumer group on the event stream: every chunk is handed to one flusher."""


def link(slug: str) -> str:
    """Give the string with a link's record (link_record.py)."""
    return f"{PREFIX}:link:{{{slug}}}"


def links_ready() -> str:
    """Give the string that says "every link is here": `<run_id of the server>:<epoch>`.

    It is set at the end of a full resync. An edge that does not find it, or finds another
    server's run id, must not take a missing link for an unknown one.
    """
    return f"{PREFIX}:links:ready"


def links_resync() -> str:
    """Give the string with the token of the resync that runs: gone when Redis was emptied since.

    The hash tag keeps it in one slot with links_ready(), for the script that compares and sets.
    """
    return f"{{{links_ready()}}}:resync"


def link_changes() -> str:
    """Give the stream of slugs whose record changed; fields `s` (slug) and `v` (version)."""
    return f"{PREFIX}:links:changes"


def events() -> str:
    """Give the stream of event chunks (events.py)."""
    return f"{PREFIX}:events"


def dead_letters() -> str:
    """Give the stream of what could not be landed; fields `reason`, `journal`, `sequence`, `payload`."""
    return f"{PREFIX}:events:dead"


def landed(journal_id: str) -> str:
    """Give the string with the highest sequence up to which a journal has landed without gaps."""
    return f"{PREFIX}:landed:{{{journal_id}}}"


def rate_limit(subject: str, window: int) -> str:
    """Give the counter of `subject`'s requests in the hour `window` (hours since the Unix epoch)."""
    return f"{PREFIX}:limit:{{{subject}}}:{window}"
