"""Which variant a visitor is sent to, and why.

A pure choice: chance is an argument, nothing is read and nothing is kept. In order:

1. a declared winner takes all traffic;
2. a geo link goes by the visitor's country, every other country by its default;
3. a visitor who saw a variant before stays on it, unless it is gone or paused (weight 0);
4. a fingerprint decides for cookieless stickiness, else the draw: both by weight.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
from xxhash import xxh3_64_intdigest

from edge.contract.events import Reason
from edge.contract.link_record import Variant

if TYPE_CHECKING:
    from edge.contract.link_record import LinkRecord

_TWO_64 = 2.0**64

# Bound once: before Python 3.12 each look-up of an enum's member costs as much as a choice.
_WINNER, _GEO, _GEO_DEFAULT = Reason.WINNER, Reason.GEO, Reason.GEO_DEFAULT
_WEIGHT, _STICKY, _FINGERPRINT = Reason.WEIGHT, Reason.STICKY, Reason.FINGERPRINT


class Choice(msgspec.Struct, frozen=True, gc=False):
    """The chosen variant, and the reason that is stored with the click."""

    variant: Variant
    reason: Reason


def choose(
    record: LinkRecord, country: str, pinned: bytes | None, fingerprint: int | None, draw: float
) -> Choice:
    """Choose a variant of an active link.

    `country`: ISO code, "" when unknown. `pinned`: id of the variant that the visitor's cookie
    names. `fingerprint`: 64-bit hash of the visitor, for cookieless stickiness. `draw`: uniform
    in [0, 1). The record's weights sum to 100, so there is always an answer.
    """
    variants = record.variants
    if record.winner is not None:
        return Choice(variants[record.winner], _WINNER)
    if record.geo_default is not None:
        index = record.geo_rules.get(country)
        if index is not None:
            return Choice(variants[index], _GEO)
        return Choice(variants[record.geo_default], _GEO_DEFAULT)
    if pinned is not None:
        for variant in variants:
            if variant.id == pinned and variant.weight:
                return Choice(variant, _STICKY)
    if fingerprint is not None:
        return Choice(_rendezvous(variants, fingerprint), _FINGERPRINT)
    return Choice(_by_weight(variants, draw), _WEIGHT)


def _by_weight(variants: tuple[Variant, ...], draw: float) -> Variant:
    point = draw * 100
    for variant in variants:
        point -= variant.weight
        if point < 0:
            return variant
    # Rounding can leave a sliver at the end: it belongs to the last variant with a weight.
    return next(variant for variant in reversed(variants) if variant.weight)


def _rendezvous(variants: tuple[Variant, ...], fingerprint: int) -> Variant:
    """Choose by weighted rendezvous hashing.

    Each variant's share of all fingerprints is its weight, and a change of weights moves only
    the visitors that it must.
    """
    best, best_score = variants[0], -math.inf
    for variant in variants:
        if variant.weight:
            uniform = (xxh3_64_intdigest(variant.id, seed=fingerprint) + 1) / _TWO_64
            score = math.log(uniform) / variant.weight
            if score > best_score or best_score == -math.inf:
                best, best_score = variant, score
    return best
