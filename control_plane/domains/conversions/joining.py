"""Join conversions to the clicks that brought them and to the sales that they change.

A `Workbook` holds the rows at hand with all that hangs together with them, lets them be changed, and at the
end writes them and what their change does to the sums. Their projects are locked meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from control_plane.core.ids import id_time, read_uuid
from control_plane.domains.conversions import store
from control_plane.domains.conversions.effects import add_effects, find_root
from control_plane.domains.conversions.model import ClickFacts, Waits
from control_plane.domains.traffic.changes import subjects_of
from control_plane.domains.traffic.model import Counts
from edge.contract.events import ConversionKind

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable
    from datetime import datetime

    from control_plane.db.pool import Connection
    from control_plane.domains.conversions.model import ConversionRow
    from control_plane.domains.conversions.store import Key
    from control_plane.domains.traffic.changes import Changes

    Word: TypeAlias = tuple[uuid.UUID, str]
    """(tenant, what a click is called)"""
    Targets: TypeAlias = dict[tuple[uuid.UUID, str], ConversionRow]
    """(project, what a sale or upsell is called) -> the row"""

_TARGETS: Final = (ConversionKind.SALE, ConversionKind.UPSELL)


class Workbook:
    """Rows that are changed together. `changes`: takes up what that does to the sums."""

    def __init__(self, db: Connection, changes: Changes, now: datetime) -> None:
        self._db = db
        self._changes = changes
        self._now = now
        self.rows: dict[uuid.UUID, ConversionRow] = {}
        self._before: dict[uuid.UUID, ConversionRow] = {}
        self._new: set[uuid.UUID] = set()
        self._clicks: dict[uuid.UUID, ClickFacts] = {}

    async def take(self, rows: Iterable[ConversionRow], *, new: bool = False) -> None:
        """Take up rows, and all that they change. `new`: they were just inserted."""
        added = self._add(rows)
        if new:
            self._new.update(row.id for row in added)
        while added:
            ids = {
                (row.tenant_id, row.target_id)
                for row in added
                if row.target_id is not None and row.target_id not in self.rows
            }
            added = self._add(await store.find_by_ids(self._db, ids)) if ids else []

    async def settle(self, rows: list[ConversionRow]) -> None:
        """Join rows to their clicks and targets, and what waits for them to them."""
        waiting = await self._find_waiting(rows)
        await self._attribute([row for row in rows if not row.is_child])
        at_hand = {row.id: row for row in (*rows, *waiting)}.values()
        children = [row for row in at_hand if row.target_word and row.target_id is None]
        targets = await self._find_targets(children) if children else {}
        for row in sorted(children, key=lambda row: (-row.kind, row.id)):  # upsells ahead of refunds
            self._join(row, targets)
        for row in self.rows.values():
            self._follow_root(row)

    async def save(self) -> None:
        """Write what has changed, and gather what that does to the sums."""
        await self._take_followers()
        changed = [
            row for row in self.rows.values() if row.id in self._new or row != self._before.get(row.id)
        ]
        if not changed:
            return
        await store.update_rows(self._db, changed, self._now)
        await self._load_clicks()
        before = {key: row for key, row in self._before.items() if key not in self._new}
        for rows, sign in ((before, -1), (self.rows, 1)):
            for row in rows.values():
                add_effects(self._changes, rows, self._clicks, row, sign=sign)
        await self._mark_clicks()

    async def _take_followers(self) -> None:
        """Take up the refunds and upsells of what now counts elsewhere, or began or ceased to count.

        Only those: a subscription has a sale with a thousand upsells, and another one changes none of them.
        """
        followed = set(self._new)  # their followers were waiting, and are at hand
        while moved := [
            row
            for row in self.rows.values()
            if row.kind in _TARGETS and row.id not in followed and _has_moved(self._before[row.id], row)
        ]:
            followed |= {row.id for row in moved}
            await self.take(await store.find_children(self._db, [(row.tenant_id, row.id) for row in moved]))
            for row in self.rows.values():
                self._follow_root(row)

    def _add(self, rows: Iterable[ConversionRow]) -> list[ConversionRow]:
        added = [row for row in rows if row.id not in self.rows]
        for row in added:
            self.rows[row.id] = row
            self._before[row.id] = msgspec.structs.replace(row)
        return added

    # --- targets ---------------------------------------------------------------------------------

    async def _find_waiting(self, rows: Iterable[ConversionRow]) -> list[ConversionRow]:
        words = {
            (row.tenant_id, row.project_id, word)
            for row in rows
            if row.kind in _TARGETS
            for word in (row.external_id, str(row.id))
        }
        found = await store.find_waiting(self._db, words) if words else []
        await self.take(found)
        return [self.rows[row.id] for row in found]

    async def _find_targets(self, children: list[ConversionRow]) -> Targets:
        """Find what rows name: by (project, word). Of two of one name, the sale; of ours before theirs."""
        wanted = {(row.tenant_id, row.project_id, row.target_word or "") for row in children}
        external = [(*key[:2], kind, key[2]) for key in wanted for kind in _TARGETS]
        ids = [(key[0], named) for key in wanted if (named := read_uuid(key[2])) is not None]
        found = await store.find_by_external_ids(self._db, external) if external else []
        found += await store.find_by_ids(self._db, ids) if ids else []
        await self.take(found)
        targets: Targets = {}
        for row in sorted((self.rows[row.id] for row in found), key=lambda row: -row.kind):
            if row.kind in _TARGETS:
                targets[row.project_id, row.external_id] = row
        for row in (self.rows[row.id] for row in found):
            if row.kind in _TARGETS:
                targets[row.project_id, str(row.id)] = row
        return targets

    def _join(self, row: ConversionRow, targets: Targets) -> None:
        word = row.target_word or ""
        named = read_uuid(word)
        target = targets.get((row.project_id, word))
        if target is None and named is not None:
            target = targets.get((row.project_id, str(named)))
        is_fit = target is not None and (
            row.kind is ConversionKind.REFUND or target.kind is ConversionKind.SALE
        )
        if target is None or not is_fit or target.id == row.id:
            if row.waits_for is None:
                row.wait(Waits.SALE, self._now)
            return
        row.target_id = target.id
        if row.waits_for == Waits.SALE or row.is_child:
            row.wait_no_more()
        if row.is_child and row.status == "completed":
            self.apply(row)

    def apply(self, row: ConversionRow) -> None:
        """Let a completed refund or upsell change its target, or reject it where it cannot."""
        target = self.rows.get(row.target_id) if row.target_id is not None else None
        if target is None:
            return
        rejection = find_rejection(row, target)
        if rejection is not None:
            row.status, row.rejection = "rejected", rejection
        elif row.kind is ConversionKind.REFUND:
            target.refunded_minor += row.amount_minor
        else:
            target.upsold_minor += row.amount_minor

    def take_back(self, row: ConversionRow) -> None:
        """Undo what a completed refund or upsell did to its target."""
        target = self.rows.get(row.target_id) if row.target_id is not None else None
        if target is None:
            return
        if row.kind is ConversionKind.REFUND:
            target.refunded_minor -= row.amount_minor
        elif row.kind is ConversionKind.UPSELL:
            target.upsold_minor -= row.amount_minor

    def _follow_root(self, row: ConversionRow) -> None:
        """Count a refund or upsell with the click of its root."""
        root = find_root(self.rows, row) if row.is_child else None
        if root is not None:
            row.attributed_click, row.clicked_at = root.attributed_click, root.clicked_at
            row.link_id, row.variant_id, row.counted_at = root.link_id, root.variant_id, root.counted_at

    # --- clicks ----------------------------------------------------------------------------------

    async def _attribute(self, rows: list[ConversionRow]) -> None:
        """Join rows to the best of the clicks that brought them: one of a link, by click_id or by the visit.

        What names one that is not there yet waits for it, whatever it is joined to meanwhile.
        """
        visits = await self._find_visits(rows)
        words = {(row.tenant_id, row.click_id) for row in rows if row.click_id}
        words |= {(tenant_id, word) for (tenant_id, _id), word in visits.items() if word}
        clicks, missing = await self._find_clicks(words)
        for row in rows:
            ways = [row.click_id] if row.click_id else []
            lacks_visit = (key := _visit_key(row)) is not None and key not in visits
            if key is not None and (led := visits.get(key)):
                ways.append(led)
            best: ClickFacts | None = None
            lacks: Waits | None = None
            for word in ways:
                click = clicks.get((row.tenant_id, word))
                lacks = lacks or missing.get((row.tenant_id, word))
                if click is not None and (best is None or click.link is not None):
                    best = click
                if best is not None and best.link is not None:
                    break
            else:
                lacks = lacks or (Waits.VISIT if lacks_visit else None)
            row.wait_no_more()
            if best is not None:
                self._credit(row, best)
            if lacks is not None:
                row.wait(lacks, self._now)

    async def _find_visits(self, rows: Iterable[ConversionRow]) -> dict[Key, str | None]:
        keys = {key for row in rows if (key := _visit_key(row)) is not None}
        return await store.find_visits(self._db, keys) if keys else {}

    async def _find_clicks(self, words: set[Word]) -> tuple[dict[Word, ClickFacts], dict[Word, Waits]]:
        """Find clicks by either id. A click on a page stands for the click of a link that led there.

        Gives too what has not arrived yet of those that are missing, or may yet stand for another one.
        """
        if not words:
            return {}, {}
        ids = {(tenant, word): named for tenant, word in words if (named := read_uuid(word)) is not None}
        others = await store.find_clicks_by_word(self._db, words)
        keys = {(tenant, named) for (tenant, _word), named in (*ids.items(), *others.items())}
        clicks = {click.id: click for click in await store.find_clicks(self._db, keys)}
        led = await self._find_leading(clicks.values(), {named: tenant for tenant, named in keys})
        found: dict[Word, ClickFacts] = {}
        missing: dict[Word, Waits] = {}
        for key in words:
            named = ids.get(key) if ids.get(key) in clicks else others.get(key)
            if named not in clicks:
                missing[key] = Waits.CLICK
                continue
            leading = led.get(named, clicks[named])
            if isinstance(leading, Waits):
                missing[key] = leading
            found[key] = clicks[named] if isinstance(leading, Waits) or leading.link is None else leading
        return found, missing

    async def _find_leading(
        self, clicks: Iterable[ClickFacts], tenants: dict[uuid.UUID, uuid.UUID]
    ) -> dict[uuid.UUID, ClickFacts | Waits]:
        """Find for clicks on pages the click of a link that led to their visit, or what that lacks."""
        visit_keys = {
            click.id: (tenants[click.id], visit_id)
            for click in clicks
            if click.link_id is None and (visit_id := read_uuid(click.visit_id)) is not None
        }
        visits = await store.find_visits(self._db, visit_keys.values()) if visit_keys else {}
        wanted = {
            click_id: (key[0], named)
            for click_id, key in visit_keys.items()
            if (named := read_uuid(visits.get(key))) is not None
        }
        found = await store.find_clicks(self._db, wanted.values()) if wanted else []
        by_id = {click.id: click for click in found}
        led: dict[uuid.UUID, ClickFacts | Waits] = {
            click_id: by_id.get(key[1], Waits.CLICK) for click_id, key in wanted.items()
        }
        return led | {click_id: Waits.VISIT for click_id, key in visit_keys.items() if key not in visits}

    def _credit(self, row: ConversionRow, click: ClickFacts) -> None:
        self._clicks[click.id] = click
        row.attributed_click, row.clicked_at = click.id, id_time(click.id)
        row.link_id, row.variant_id = click.link_id, click.variant_id
        row.counted_at = id_time(click.id)

    async def _load_clicks(self) -> None:
        """Load the clicks of all rows, as they were and as they are."""
        keys = {
            (row.tenant_id, row.attributed_click)
            for rows in (self._before, self.rows)
            for row in rows.values()
            if row.attributed_click is not None and row.attributed_click not in self._clicks
        }
        found = await store.find_clicks(self._db, keys) if keys else []
        self._clicks |= {click.id: click for click in found}

    async def _mark_clicks(self) -> None:
        """Mark clicks as conversions, or as none any more, by the sales that they now have."""
        keys = {
            (row.tenant_id, row.attributed_click)
            for rows in (self._before, self.rows)
            for row in rows.values()
            if row.kind is ConversionKind.SALE and row.attributed_click is not None
        }
        if not keys:
            return
        marked = await store.lock_clicks(self._db, keys)
        converted = await store.list_converted(self._db, marked)
        flips = {
            key: key in converted
            for key, click in marked.items()
            if click.is_conversion != (key in converted)
        }
        if not flips:
            return
        await store.mark_clicks(self._db, flips)
        for key, is_conversion in flips.items():
            sign = 1 if is_conversion else -1
            self._count_click(key[0], self._clicks[key[1]], sign, is_bot=marked[key].is_bot)

    def _count_click(self, tenant_id: uuid.UUID, click: ClickFacts, sign: int, *, is_bot: bool) -> None:
        """Count a click of a link that converts. Those on pages are no part of `clicks`, so not of this."""
        if click.link is None:
            return
        subjects = subjects_of(
            tenant_id, link=click.link, project_id=click.project_id, campaign=click.utm_campaign
        )
        counts = Counts(conversions=1, human_conversions=int(not is_bot))
        self._changes.count(subjects, id_time(click.id), click.split, counts, sign=sign)
        self._changes.convert((tenant_id, *click.link), sign)


def find_rejection(row: ConversionRow, target: ConversionRow) -> str | None:
    """Say why a refund or upsell cannot change its target; None if it can."""
    if row.currency != target.currency:
        return f"currency is {target.currency} for what it belongs to"
    if row.kind is ConversionKind.REFUND and target.refunded_minor + row.amount_minor > target.amount_minor:
        return "it exceeds what is left to refund"
    return None


def _has_moved(before: ConversionRow, now: ConversionRow) -> bool:
    """Tell whether what follows a sale or upsell counts otherwise than it did."""
    return (before.status, before.target_id, before.attributed_click, before.counted_at) != (
        now.status,
        now.target_id,
        now.attributed_click,
        now.counted_at,
    )


def _visit_key(row: ConversionRow) -> Key | None:
    visit_id = read_uuid(row.visit_id)
    return None if visit_id is None else (row.tenant_id, visit_id)
