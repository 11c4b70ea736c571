"""Geo rules as the edge goes by them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from control_plane.domains.links.model import GEO_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def resolve_geo_rules(
    routing_type: str, geo_rules: Mapping[str, str] | None, labels: Sequence[str]
) -> tuple[dict[str, int], int | None]:
    """Turn labels into indexes: (by country, for every other country).

    A rule whose variant is gone (as after a deletion) is left out.
    """
    if routing_type != "geo" or geo_rules is None:
        return {}, None
    positions = {label: position for position, label in enumerate(labels)}
    rules = {country: positions[label] for country, label in geo_rules.items() if label in positions}
    default = rules.pop(GEO_DEFAULT, None)
    return rules, default
