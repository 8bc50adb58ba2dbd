-- Names of operators and countries by 1NCE's numbers. Index network_names_pkey.
-- staged: kind text, number bigint, name text
WITH compared AS (
    SELECT s.*, t.organization_id IS NULL AS is_new, t.name IS DISTINCT FROM s.name AS is_changed
    FROM staged AS s
    LEFT JOIN core.network_names AS t ON t.organization_id = (SELECT ops.current_organization()) AND t.kind = s.kind AND t.number = s.number
), written AS (
    INSERT INTO core.network_names (organization_id, kind, number, name)
    SELECT (SELECT ops.current_organization()), kind, number, name FROM compared WHERE is_changed
    ON CONFLICT (organization_id, kind, number) DO UPDATE SET name = excluded.name
)
SELECT count(*) FILTER (WHERE is_new) AS new, count(*) FILTER (WHERE is_changed AND NOT is_new) AS changed,
       count(*) FILTER (WHERE NOT is_changed) AS unchanged
FROM compared;
