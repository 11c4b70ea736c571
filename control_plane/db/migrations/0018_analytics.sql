-- Conversions by when they are counted, for sums over pieces of days.
CREATE INDEX conversions_by_link_count ON conversions (tenant_id, link_id, counted_at) WHERE link_id IS NOT NULL;
CREATE INDEX conversions_by_project_count ON conversions (tenant_id, project_id, counted_at);
