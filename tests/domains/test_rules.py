"""The rules of links, over drafts that hypothesis makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.domains.links.countries import COUNTRY_CODES
from control_plane.domains.links.model import LinkDraft, VariantDraft
from control_plane.domains.links.rules import find_faults, settle_content
from control_plane.domains.links.slugs import ALPHABET, SLUG_LENGTH, draw_slug

EDGE = "http://go.example.com"

labels = st.text("abc", min_size=1, max_size=2)


def variant(label: str, weight: int) -> VariantDraft:
    return VariantDraft(label=label, destination_url="https://example.com/", weight=weight)


variants = st.lists(st.builds(variant, labels, st.integers(0, 100)), min_size=2, max_size=5)
geo_rules = st.dictionaries(st.sampled_from(["default", "DE", "us", "XX", "FR"]), labels, max_size=4)


def draft(**changes: object) -> LinkDraft:
    fields: dict[str, object] = {
        "name": "Name",
        "slug": None,
        "is_active": True,
        "variants": [variant("a", 50), variant("b", 50)],
        "auto_winner": False,
        "auto_winner_threshold": 100,
        "auto_winner_goal": "conversion_rate",
        "auto_winner_lag_hours": 24,
        "project_id": None,
        "routing_type": "ab_test",
        "geo_rules": None,
        "stickiness": "cookie",
        "forward_query": True,
    }
    return LinkDraft(**(fields | changes))  # type: ignore[arg-type]  # a test's own fields


@given(variants)
def test_weights_sum_to_100_and_labels_differ(drafts: list[VariantDraft]) -> None:
    rules = [fault.rule for fault in find_faults(draft(variants=drafts), EDGE)]
    names = [one.label for one in drafts]
    total = sum(one.weight for one in drafts if isinstance(one.weight, int))
    assert ("must sum to 100" in rules) is (total != 100)
    assert rules.count("must be unique within the link") == len(names) - len(set(names))


@given(geo_rules, st.sampled_from(["ab_test", "geo"]))
def test_geo_rules_name_countries_and_labels(rules: dict[str, str], routing_type: str) -> None:
    found = list(find_faults(draft(geo_rules=rules, routing_type=routing_type), EDGE))
    bad_countries = set(rules) - COUNTRY_CODES - {"default"}
    bad_labels = {country for country, label in rules.items() if label not in {"a", "b"}}
    assert {fault.field for fault in found if "ISO" in fault.rule} == {
        f"geo_rules.{country}" for country in bad_countries
    }
    assert {fault.field for fault in found if "label" in fault.rule} == {
        f"geo_rules.{country}" for country in bad_labels
    }
    assert any("'default'" in fault.rule and fault.field == "geo_rules" for fault in found) is (
        "default" not in rules
    )


@pytest.mark.parametrize(
    "unset", ["name", "slug", "variants", "routing_type", "geo_rules", "stickiness", "forward_query"]
)
def test_what_was_refused_already_is_passed_over(unset: str) -> None:
    assert list(find_faults(draft(**{unset: UNSET}), EDGE)) == []
    known = Fault(unset, "must be something else", 1)
    with pytest.raises(Invalid) as caught:
        settle_content(draft(**{unset: UNSET}), [known], EDGE)
    assert caught.value.faults == (known,)


def test_a_refused_weight_hides_the_sum_only() -> None:
    broken = [variant("a", 50), VariantDraft(label="a", destination_url="nowhere", weight=UNSET)]
    fields = [fault.field for fault in find_faults(draft(variants=broken), EDGE)]
    assert set(fields) == {"variants[1].label", "variants[1].destination_url"}


def test_a_good_draft_becomes_content() -> None:
    content = settle_content(draft(), [], EDGE)
    assert (content.name, content.variants[1].label, content.geo_rules) == ("Name", "b", None)


def test_there_are_249_countries() -> None:
    assert len(COUNTRY_CODES) == 249


def test_drawn_slugs() -> None:
    assert len(ALPHABET) == 57
    slugs = {draw_slug() for _ in range(1000)}
    assert len(slugs) == 1000
    assert all(len(slug) == SLUG_LENGTH and set(slug) <= set(ALPHABET) for slug in slugs)
