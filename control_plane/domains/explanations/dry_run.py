"""What the edge would do with a visitor, rule by rule; the choice itself is the edge's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from control_plane.core.errors import Invalid
from control_plane.core.faults import Fault
from control_plane.domains.explanations.model import Chance, DryRun, Step
from control_plane.domains.links.geo_rules import resolve_geo_rules
from edge.contract.events import Reason
from edge.contract.link_record import LinkRecord, LinkState, Stickiness
from edge.contract.link_record import Variant as EdgeVariant
from edge.contract.selection import choose

if TYPE_CHECKING:
    from control_plane.core.user_agents import BotReason
    from control_plane.domains.links.model import Link, Variant

_STICKINESS: Final = {
    "none": Stickiness.NONE,
    "cookie": Stickiness.COOKIE,
    "fingerprint": Stickiness.FINGERPRINT,
}


def run(link: Link, country: str, variant: str | None, bot_reason: BotReason | None) -> DryRun:
    """Go through the rules. `variant`: label or id. Raises Invalid for one that the link has not."""
    seen = _find_seen(link, variant)
    record = _build_record(link)
    by_cookie = seen is not None and record.stickiness is Stickiness.COOKIE
    # Without a fingerprint, whatever is not settled comes out as drawn; the draw itself is not looked at.
    choice = choose(record, country, seen.id.bytes if seen and by_cookie else None, None, 0.0)
    reason = choice.reason
    if reason is Reason.WEIGHT and record.stickiness is Stickiness.FINGERPRINT:
        reason = Reason.FINGERPRINT
    is_drawn = reason in {Reason.WEIGHT, Reason.FINGERPRINT}
    chances = [
        Chance(
            id=one.id,
            label=one.label,
            destination_url=one.destination_url,
            weight=one.weight,
            probability=one.weight / 100 if is_drawn else float(one.id.bytes == choice.variant.id),
        )
        for one in link.variants
    ]
    return DryRun(
        link_id=link.id,
        version=link.version,
        steps=_list_steps(link, record, country, seen, reason),
        decided_by=reason.name.lower() if link.is_active else None,
        chances=[one for one in chances if one.probability] if link.is_active else [],
        bot_reason=bot_reason,
    )


def _find_seen(link: Link, variant: str | None) -> Variant | None:
    if variant is None:
        return None
    for one in link.variants:
        if variant in {one.label, str(one.id)}:
            return one
    raise Invalid([Fault("variant", "must be the label or the id of a variant of the link", variant)])


def _build_record(link: Link) -> LinkRecord:
    rules, default = resolve_geo_rules(
        link.routing_type, link.geo_rules, [one.label for one in link.variants]
    )
    return LinkRecord(
        tenant_id=link.tenant_id.bytes,
        link_id=link.id.bytes,
        slug=link.slug,
        version=link.version,
        state=LinkState.ACTIVE if link.is_active else LinkState.INACTIVE,
        variants=tuple(
            EdgeVariant(one.id.bytes, one.label, one.destination_url, one.weight) for one in link.variants
        ),
        geo_rules=rules,
        geo_default=default,
        winner=next((place for place, one in enumerate(link.variants) if one.is_winner), None),
        stickiness=_STICKINESS[link.stickiness],
        forward_query=link.forward_query,
    )


def _list_steps(
    link: Link, record: LinkRecord, country: str, seen: Variant | None, reason: Reason
) -> list[Step]:
    """Say of each rule whether it is the one that decides; of `active`, whether any does."""
    active = "The link is active." if link.is_active else "The link is switched off: visitors get 410 Gone."
    sentences = {
        Reason.WINNER: _say_winner(record),
        Reason.GEO: _say_geo(record, country),
        Reason.GEO_DEFAULT: _say_geo_default(record, country),
        Reason.STICKY: _say_sticky(record, seen),
        Reason.FINGERPRINT: (
            "The link goes by fingerprints: address and browser choose, in proportion to the weights."
            if record.stickiness is Stickiness.FINGERPRINT
            else "The link does not go by fingerprints."
        ),
        Reason.WEIGHT: "What no rule before decides is drawn by the weights.",
    }
    steps = [Step("active", link.is_active, active)]
    is_decided = not link.is_active
    for rule, sentence in sentences.items():
        why = "The link does not redirect." if not link.is_active else sentence
        if is_decided and link.is_active:
            why = "A rule before this one has decided."
        steps.append(Step(rule.name.lower(), rule is reason and link.is_active, why))
        is_decided = is_decided or rule is reason
    return steps


def _say_winner(record: LinkRecord) -> str:
    if record.winner is None:
        return "No winner is declared."
    return f'"{record.variants[record.winner].label}" is declared the winner, which takes all traffic.'


def _say_geo(record: LinkRecord, country: str) -> str:
    if record.geo_default is None:
        return "The link does not go by country."
    index = record.geo_rules.get(country)
    if index is None:
        return f"There is no rule for {country or 'an unknown country'}."
    return f'The rule for {country} names "{record.variants[index].label}".'


def _say_geo_default(record: LinkRecord, country: str) -> str:
    if record.geo_default is None:
        return "The link does not go by country."
    label = record.variants[record.geo_default].label
    return f'{country or "An unknown country"} has no rule of its own: the default is "{label}".'


def _say_sticky(record: LinkRecord, seen: Variant | None) -> str:
    if record.stickiness is not Stickiness.COOKIE:
        return "The link keeps no cookie."
    if seen is None:
        return "The visitor is new: no cookie names a variant."
    if not seen.weight:
        return f'The cookie names "{seen.label}", which is paused: its weight is 0.'
    return f'The visitor\'s cookie names "{seen.label}".'
