"""Every key, stream, channel and group name in Redis, with the version of the layout.

A layout that old processes could misread gets a new PREFIX; both then live side by side until
the old processes are gone.

Braces are hash tags: Redis Cluster keeps what shares one on one master, also when slots move or a
replica takes over. Links and chunks are dealt out to GROUPS such tags, so that what has to be seen
together lies together: a link and the marker that vouches for it; a partition of the event stream
and how far its journals have landed. The tags are spread evenly over the slots, hence over masters.
"""

from __future__ import annotations

from binascii import crc_hqx
from itertools import count
from typing import Final

PREFIX: Final = "sy1"

FLUSHER_GROUP: Final = "flusher"
"""Consumer group on the partitions of the event stream: every chunk is handed to one flusher."""

SLOTS: Final = 16_384
"""Hash slots of Redis Cluster."""

GROUPS: Final = 64
"""Groups of links, and the most partitions that the event stream may have: more masters share no more."""


def find_slot(key: str) -> int:
    """Give the slot that Redis Cluster puts a key into: by what its first braces hold, if anything."""
    _before, brace, rest = key.partition("{")
    tag, end, _after = rest.partition("}")
    return crc_hqx((tag if brace and end and tag else key).encode(), 0) % SLOTS


def _find_tags() -> tuple[str, ...]:
    """Give for each of GROUPS equal parts of the slots the first number whose slot lies in it."""
    tags: dict[int, str] = {}
    for number in count():
        tags.setdefault(find_slot(str(number)) * GROUPS // SLOTS, str(number))
        if len(tags) == GROUPS:
            break
    return tuple(tags[part] for part in range(GROUPS))


_TAGS: Final = _find_tags()


def link_key(domain: str, slug: str) -> str:
    """Give what a link is looked up by: its slug, behind its domain and a slash if it has one.

    Neither has a slash in it. With an empty slug it stands for all of the domain's links.
    """
    return f"{domain}/{slug}" if domain else slug


def link_group(key: str) -> int:
    """Give the group that a link belongs to, from 0 to GROUPS - 1. `key`: see link_key."""
    return crc_hqx(key.encode(), 0) % GROUPS


def link(key: str) -> str:
    """Give the string with a link's record (link_record.py). `key`: see link_key."""
    return f"{PREFIX}:link:{{{_TAGS[link_group(key)]}}}:{key}"


def links_ready(group: int) -> str:
    """Give the string that says "every link of this group is here": `<history>:<epoch>`.

    It is set at the end of a full resync; readiness.py tells what it is worth.
    """
    return f"{PREFIX}:links:ready:{{{_TAGS[group]}}}"


def links_resync(group: int) -> str:
    """Give the string with the token of the resync that runs: gone when the group was lost since."""
    return f"{PREFIX}:links:resync:{{{_TAGS[group]}}}"


def domains() -> str:
    """Give the hash with the records of custom domains by domain (domain_record.py).

    It lies with the first group of links, whose marker vouches for it too.
    """
    return f"{PREFIX}:domains:{{{_TAGS[0]}}}"


def projects() -> str:
    """Give the hash with the records of projects by id, in hex (intake_record.py).

    It lies with the first group of links, whose marker vouches for it too; so does `intake_keys`.
    """
    return f"{PREFIX}:projects:{{{_TAGS[0]}}}"


def intake_keys() -> str:
    """Give the hash with the records of API keys that may report sales, by SHA-256 in hex."""
    return f"{PREFIX}:intake:keys:{{{_TAGS[0]}}}"


def link_changes() -> str:
    """Give the stream of what has changed; fields `s` (see link_key) and `v` (version).

    `s` is a link's key; behind a domain and a slash comes no slug when the domain itself has changed.

    It lies with the first group of links: when its master changes, so does a marker.
    """
    return f"{PREFIX}:links:changes:{{{_TAGS[0]}}}"


def event_partitions() -> str:
    """Give the set of the partitions that any edge has shipped to, as decimal numbers.

    Edges add theirs once a second, so that flushers read whatever is in use and no two settings have
    to agree. Whoever reads it adds 0, which a single server uses.
    """
    return f"{PREFIX}:events:partitions"


def events(partition: int) -> str:
    """Give a partition of the stream of event chunks (events.py), from 0 to GROUPS - 1.

    The order of tags is bit reversal, which spreads the first few partitions as evenly as all.
    """
    return f"{PREFIX}:events:{{{_event_tag(partition)}}}"


def _event_tag(partition: int) -> str:
    return _TAGS[int(f"{partition:06b}"[::-1], 2)]


def pick_partition(journal_id: str, partitions: int) -> int:
    """Give the partition that a journal's chunks go to: all to one, as its mark lies with them."""
    return crc_hqx(journal_id.encode(), 0) % partitions


def dead_letters() -> str:
    """Give the stream of what could not be landed; fields `reason`, `journal`, `sequence`, `payload`."""
    return f"{PREFIX}:events:dead"


def landed(journal_id: str, partition: int) -> str:
    """Give the string with the highest sequence up to which a journal has landed without gaps.

    It is told to whoever ships the journal to that partition.
    """
    return f"{PREFIX}:landed:{{{_event_tag(partition)}}}:{journal_id}"


def rate_limit(subject: str, window: int) -> str:
    """Give the counter of `subject`'s requests in `window`: hours since the Unix epoch, or minutes.

    A subject is counted by one of them: users by the hour, API keys by the minute.
    """
    return f"{PREFIX}:limit:{{{subject}}}:{window}"
