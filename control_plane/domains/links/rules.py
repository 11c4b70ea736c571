"""The rules of a link that no single type can state.

They look at a LinkDraft, in which UNSET stands for whatever was refused already: a rule that
needs such a value is passed over, so that a caller hears of each mistake once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.domains.links.countries import COUNTRY_CODES
from control_plane.domains.links.destinations import find_broken_rules
from control_plane.domains.links.model import GEO_DEFAULT, LinkContent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from control_plane.domains.links.model import LinkDraft, VariantDraft

WHOLE: Final = 100
"""Weights are percent."""


def settle_content(draft: LinkDraft, shape_faults: Sequence[Fault], edge_url: str) -> LinkContent:
    """Turn a complete draft into content that keeps every rule.

    `shape_faults`: what decoding refused. Raises Invalid with those and every broken rule.
    """
    rule_faults = [fault for fault in find_faults(draft, edge_url) if not _is_known(fault, shape_faults)]
    if faults := [*shape_faults, *rule_faults]:
        raise Invalid(faults)
    return msgspec.convert(draft, LinkContent, from_attributes=True)


def find_faults(draft: LinkDraft, edge_url: str) -> Iterator[Fault]:
    """Find every rule that a draft breaks. `edge_url`: where no destination may lead."""
    if isinstance(draft.slug, str) and "\n" in draft.slug:
        yield Fault("slug", "must not contain a line break", draft.slug)
    if draft.variants is not UNSET:
        yield from _variant_faults(draft.variants, edge_url)
    yield from _geo_faults(draft)


def _variant_faults(variants: Sequence[VariantDraft], edge_url: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for position, variant in enumerate(variants):
        place = f"variants[{position}]"
        if isinstance(variant.label, str):
            if variant.label in seen:
                yield Fault(f"{place}.label", "must be unique within the link", variant.label)
            seen.add(variant.label)
        if isinstance(variant.destination_url, str):
            for rule in find_broken_rules(variant.destination_url, edge_url):
                yield Fault(f"{place}.destination_url", rule, variant.destination_url)
        for field in ("destination_url", "weight"):
            if getattr(variant, field) is None:
                yield Fault(f"{place}.{field}", "is required for a new variant")
    weights = [variant.weight for variant in variants if isinstance(variant.weight, int)]
    if len(weights) == len(variants) and sum(weights) != WHOLE:
        yield Fault("variants[].weight", "must sum to 100", sum(weights), "Variant weights")


def _geo_faults(draft: LinkDraft) -> Iterator[Fault]:
    rules = draft.geo_rules
    if rules is None and draft.routing_type == "geo":
        yield Fault("geo_rules", "is required when routing_type is 'geo'")
    if not isinstance(rules, dict):
        return
    if GEO_DEFAULT not in rules:
        yield Fault("geo_rules", "must include 'default'", rules)
    labels = _labels_of(draft)
    for country, label in rules.items():
        if country != GEO_DEFAULT and country not in COUNTRY_CODES:
            rule = "must be keyed by ISO 3166-1 alpha-2 codes in upper case, or 'default'"
            yield Fault(f"geo_rules.{country}", rule, country)
        if labels is not None and label not in labels:
            yield Fault(f"geo_rules.{country}", "must name the label of a variant", label)


def _labels_of(draft: LinkDraft) -> set[str] | None:
    """Give the labels of the draft's variants; None when some are not known."""
    if draft.variants is UNSET:
        return None
    labels = {variant.label for variant in draft.variants if isinstance(variant.label, str)}
    return labels if all(isinstance(variant.label, str) for variant in draft.variants) else None


def _is_known(fault: Fault, shape_faults: Sequence[Fault]) -> bool:
    """Tell whether decoding has refused this very field, or something in it."""
    inside = (f"{fault.field}.", f"{fault.field}[")
    return any(known.field == fault.field or known.field.startswith(inside) for known in shape_faults)
