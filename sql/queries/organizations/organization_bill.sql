-- What each organization used in the month that begins with %(month)s, as the owner of the tables sees it.
SELECT o.slug AS organization,
    (SELECT count(DISTINCT u.sim_key) FROM core.sim_usage AS u
     WHERE u.organization_id = o.organization_id AND u.day >= %(month)s::date AND u.day < %(month)s::date + interval '1 month') AS sims,
    (SELECT count(*) FROM core.sim_usage AS u
     WHERE u.organization_id = o.organization_id AND u.day >= %(month)s::date AND u.day < %(month)s::date + interval '1 month') AS usage_rows,
    coalesce((SELECT m.requests FROM ops.once_use_by_month AS m
              WHERE m.organization_id = o.organization_id AND m.month = %(month)s::date), 0) AS once_requests,
    coalesce((SELECT sum(k.uses)::bigint FROM ops.key_use AS k
              WHERE k.organization_id = o.organization_id AND NOT k.failed
                  AND k.day >= %(month)s::date AND k.day < %(month)s::date + interval '1 month'), 0) AS api_requests
FROM core.organizations AS o ORDER BY o.slug;
