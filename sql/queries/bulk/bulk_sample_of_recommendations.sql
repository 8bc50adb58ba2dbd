-- One row a recommendation: id, iccid, label, and what is advised and why. Parameter: things bigint[], whose order the rows have.
SELECT recommendation_id::text AS id, iccid, label, reason AS text
FROM predictions.quota_recommendations_v1 WHERE recommendation_id = ANY (%(things)s::bigint[])
ORDER BY array_position(%(things)s::bigint[], recommendation_id)
