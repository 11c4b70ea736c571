from __future__ import annotations

import random
from collections import Counter as Tally
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.contract.events import Reason
from edge.contract.selection import Choice, choose
from tests.edge.factories import make_link, make_variant

if TYPE_CHECKING:
    from edge.contract.link_record import LinkRecord


def _scale(parts: list[int]) -> list[int]:
    """Bring numbers to a sum of 100."""
    total = sum(parts)
    if total == 0:
        return [100] + [0] * (len(parts) - 1)
    scaled = [part * 100 // total for part in parts]
    scaled[scaled.index(max(scaled))] += 100 - sum(scaled)
    return scaled


WEIGHTS = st.lists(st.integers(0, 100), min_size=2, max_size=5).map(_scale)
DRAWS = st.floats(0, 1, exclude_max=True)
LAST_DRAW = 1 - 2**-53
CHI_SQUARED_LIMIT = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47}
"""By degrees of freedom, for p = 0.001; the seeds are fixed, so no run differs from another."""


def link_with(weights: list[int], **changes: object) -> LinkRecord:
    variants = tuple(make_variant(number, weight) for number, weight in enumerate(weights))
    return make_link(variants=variants, **changes)


def chi_squared(found: Tally[int], weights: list[int]) -> float:
    total = sum(found.values())
    return sum(
        (found[index] - total * weight / 100) ** 2 / (total * weight / 100)
        for index, weight in enumerate(weights)
        if weight
    )


class TestWinnerAndGeo:
    @given(WEIGHTS, DRAWS, st.integers(0, 2**64 - 1), st.data())
    def test_a_winner_beats_all(
        self, weights: list[int], draw: float, fingerprint: int, data: st.DataObject
    ) -> None:
        winner = data.draw(st.integers(0, len(weights) - 1))
        link = link_with(weights, winner=winner, geo_rules={"BR": 0}, geo_default=1)
        pinned = link.variants[0].id
        for print_ in (fingerprint, None):
            assert choose(link, "BR", pinned, print_, draw) == Choice(link.variants[winner], Reason.WINNER)

    @given(WEIGHTS, DRAWS)
    def test_a_geo_link_goes_by_country_whatever_the_weights(self, weights: list[int], draw: float) -> None:
        link = link_with(weights, geo_rules={"BR": 1, "US": 0}, geo_default=len(weights) - 1)
        pinned = link.variants[0].id
        assert choose(link, "BR", pinned, 1, draw) == Choice(link.variants[1], Reason.GEO)
        assert choose(link, "US", pinned, 1, draw) == Choice(link.variants[0], Reason.GEO)
        for country in ("DE", "", "br"):
            assert choose(link, country, pinned, 1, draw) == Choice(link.variants[-1], Reason.GEO_DEFAULT)


class TestPinned:
    @given(WEIGHTS, DRAWS, st.data())
    def test_a_visitor_stays_unless_the_variant_is_paused(
        self, weights: list[int], draw: float, data: st.DataObject
    ) -> None:
        link = link_with(weights)
        pinned = data.draw(st.sampled_from(link.variants))
        choice = choose(link, "BR", pinned.id, None, draw)
        if pinned.weight:
            assert choice == Choice(pinned, Reason.STICKY)
        else:
            assert choice == choose(link, "BR", None, None, draw)

    @given(WEIGHTS, DRAWS, st.binary(max_size=20))
    def test_an_unknown_variant_is_as_none(self, weights: list[int], draw: float, pinned: bytes) -> None:
        link = link_with(weights)
        assume(pinned not in {variant.id for variant in link.variants})
        assert choose(link, "", pinned, None, draw) == choose(link, "", None, None, draw)


class TestWeights:
    @given(WEIGHTS, st.one_of(DRAWS, st.sampled_from([0.0, LAST_DRAW])))
    def test_a_variant_without_weight_is_never_chosen(self, weights: list[int], draw: float) -> None:
        choice = choose(link_with(weights), "", None, None, draw)
        assert choice.variant.weight > 0
        assert choice.reason is Reason.WEIGHT

    @pytest.mark.parametrize("weights", [[0, 100, 0], [100, 0], [0, 0, 1, 99, 0], [0, 50, 0, 50, 0]])
    def test_the_first_and_the_last_draw_go_to_the_first_and_last_with_a_weight(
        self, weights: list[int]
    ) -> None:
        link = link_with(weights)
        alive = [variant for variant in link.variants if variant.weight]
        assert choose(link, "", None, None, 0.0).variant == alive[0]
        assert choose(link, "", None, None, LAST_DRAW).variant == alive[-1]

    def test_every_weight_has_exactly_its_part_of_the_draws(self) -> None:
        link = link_with([7, 0, 33, 60])
        found = Tally(choose(link, "", None, None, step / 1000).variant.weight for step in range(1000))
        assert found == {7: 70, 33: 330, 60: 600}

    @pytest.mark.parametrize(
        "weights", [[50, 50], [99, 1], [34, 33, 33], [10, 20, 30, 40], [5, 5, 10, 0, 80], [20] * 5]
    )
    @pytest.mark.parametrize("by_fingerprint", [False, True])
    def test_shares_match_the_weights(self, weights: list[int], by_fingerprint: bool) -> None:
        chance = random.Random(20_260_711)
        link = link_with(weights)
        found: Tally[int] = Tally()
        for _ in range(40_000):
            fingerprint = chance.getrandbits(64) if by_fingerprint else None
            choice = choose(link, "", None, fingerprint, chance.random())
            found[link.variants.index(choice.variant)] += 1
        assert {index for index in found if not weights[index]} == set()
        freedom = sum(1 for weight in weights if weight) - 1
        assert chi_squared(found, weights) < CHI_SQUARED_LIMIT[freedom]


class TestFingerprint:
    @given(WEIGHTS, DRAWS, DRAWS, st.integers(0, 2**64 - 1))
    def test_the_fingerprint_alone_decides(
        self, weights: list[int], draw: float, other_draw: float, fingerprint: int
    ) -> None:
        link = link_with(weights)
        choice = choose(link, "BR", None, fingerprint, draw)
        assert choice.reason is Reason.FINGERPRINT
        assert choice.variant.weight > 0
        assert choice == choose(link, "US", None, fingerprint, other_draw)

    @given(WEIGHTS, st.integers(0, 2**64 - 1), st.randoms())
    def test_the_order_of_variants_does_not_matter(
        self, weights: list[int], fingerprint: int, chance: random.Random
    ) -> None:
        link = link_with(weights)
        shuffled = msgspec.structs.replace(link, variants=tuple(chance.sample(link.variants, len(weights))))
        assert choose(link, "", None, fingerprint, 0) == choose(shuffled, "", None, fingerprint, 0)

    @given(WEIGHTS, WEIGHTS, st.integers(0, 2**64 - 1))
    def test_a_change_of_weights_moves_nobody_to_a_variant_that_did_not_grow(
        self, before: list[int], after: list[int], fingerprint: int
    ) -> None:
        assume(len(before) == len(after))
        old, new = link_with(before), link_with(after)
        chosen = choose(old, "", None, fingerprint, 0).variant
        then = choose(new, "", None, fingerprint, 0).variant
        index = next(index for index, variant in enumerate(old.variants) if variant.id == chosen.id)
        moved_to = next(index for index, variant in enumerate(new.variants) if variant.id == then.id)
        if index != moved_to:  # its weight grew more, in proportion, than that of the variant left
            assert after[moved_to] * before[index] > before[moved_to] * after[index]

    def test_a_change_of_weights_moves_only_the_difference(self) -> None:
        chance = random.Random(7)
        before, after = link_with([50, 50]), link_with([30, 70])
        fingerprints = [chance.getrandbits(64) for _ in range(20_000)]
        moved = sum(
            choose(before, "", None, fingerprint, 0).variant.id
            != choose(after, "", None, fingerprint, 0).variant.id
            for fingerprint in fingerprints
        )
        assert 3_800 < moved < 4_200
