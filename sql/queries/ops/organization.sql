-- The organization of this session: what is to be said of its data, and whether it has SIMs yet.
SELECT o.slug, o.data_note, EXISTS (SELECT FROM core.sims) AS sims
FROM core.organizations AS o WHERE o.organization_id = (SELECT ops.current_organization());
