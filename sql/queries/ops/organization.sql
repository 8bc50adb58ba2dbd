-- The organization of this session: what is to be said of its data, whether it has SIMs yet, and whether it is paused.
SELECT o.slug, o.data_note, o.paused_at, EXISTS (SELECT FROM core.sims) AS sims
FROM core.organizations AS o WHERE o.organization_id = (SELECT ops.current_organization());
