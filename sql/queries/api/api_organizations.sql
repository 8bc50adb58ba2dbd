-- One row: the organization of the key. Parameters: none.
SELECT slug, data_note, created_at, (SELECT count(*) FROM core.sims) AS sims
FROM core.organizations WHERE organization_id = (SELECT ops.current_organization())
