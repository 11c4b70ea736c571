"""What asking for sums can be refused for.

NotFound
└── CampaignNotFound    the project has no such campaign
"""

from __future__ import annotations

from control_plane.core.errors import NotFound


class CampaignNotFound(NotFound):
    """The project has no such campaign: no click and no visit named it in its utm_campaign."""

    code = "campaign_not_found"

    def __init__(self) -> None:
        super().__init__("Campaign not found")
