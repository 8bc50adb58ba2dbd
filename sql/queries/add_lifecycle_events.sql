-- Changes of device and country and top-ups from %(since)s to %(as_of)s, each once; returns how many are new by kind.
-- A device or country is compared with the one of the SIM's event before, also where that lies before the days looked at.
-- A top-up shows as an event, or where none came as a quota that rose between two observations.
-- Indexes: the primary keys of core.sim_events and core.sim_quota.
WITH seen AS (
    SELECT sim_key, occurred_at, event_type, imei, country FROM core.sim_events
    WHERE occurred_at >= %(since)s::date::timestamp AT TIME ZONE 'UTC'
        AND occurred_at < (%(as_of)s::date + 1)::timestamp AT TIME ZONE 'UTC'
), located AS (
    SELECT sim_key, occurred_at, event_type, imei, country,
           lag(imei) OVER w AS imei_before, lag(country) OVER w AS country_before, row_number() OVER w AS place
    FROM seen WHERE imei IS NOT NULL OR country IS NOT NULL
    WINDOW w AS (PARTITION BY sim_key ORDER BY occurred_at, event_type)
), compared AS (
    SELECT l.sim_key, l.occurred_at, l.event_type, l.imei, l.country,
           coalesce(l.imei_before, p.imei) AS imei_before, coalesce(l.country_before, p.country) AS country_before
    FROM located AS l
    LEFT JOIN LATERAL (
        SELECT e.imei, e.country FROM core.sim_events AS e
        WHERE l.place = 1 AND e.sim_key = l.sim_key AND e.occurred_at < l.occurred_at AND (e.imei IS NOT NULL OR e.country IS NOT NULL)
        ORDER BY e.occurred_at DESC LIMIT 1
    ) AS p ON true
), happened AS (
    -- the last digits of an IMEI-SV are the software's: a new version is no new device
    SELECT sim_key, 'imei_change' AS kind, occurred_at, imei_before AS from_value, imei AS to_value, 'event: ' || event_type AS evidence
    FROM compared WHERE left(imei, 14) <> left(imei_before, 14)
    UNION ALL
    SELECT sim_key, 'country_change', occurred_at, country_before, country, 'event: ' || event_type
    FROM compared WHERE country <> country_before
    UNION ALL
    SELECT sim_key, 'top_up', occurred_at, NULL, CASE WHEN event_type ILIKE '%%sms%%' THEN 'sms' ELSE 'data' END, 'event: ' || event_type
    FROM seen WHERE event_type ILIKE '%%topped up%%'
), observed AS (
    SELECT sim_key, kind, day, observed_at, amount_left,
           lag(amount_left) OVER w AS left_before, lag(day) OVER w AS day_before
    FROM core.sim_quota WHERE day BETWEEN %(since)s::date - 31 AND %(as_of)s::date
    WINDOW w AS (PARTITION BY sim_key, kind ORDER BY day)
), risen AS (
    SELECT o.sim_key, 'top_up' AS kind, o.observed_at AS occurred_at, NULL::text AS from_value, o.kind AS to_value,
           CASE o.kind WHEN 'data' THEN format('volume left rose from %%s MB on %%s to %%s MB', left_before / 1000000, day_before, amount_left / 1000000)
                ELSE format('SMS left rose from %%s on %%s to %%s', left_before, day_before, amount_left) END AS evidence
    FROM observed AS o
    WHERE amount_left > left_before AND day >= %(since)s::date
        AND NOT EXISTS (SELECT FROM happened AS h WHERE h.sim_key = o.sim_key AND h.kind = 'top_up' AND h.to_value = o.kind
                        AND (h.occurred_at AT TIME ZONE 'UTC')::date BETWEEN o.day_before AND o.day)
        AND NOT EXISTS (SELECT FROM core.sim_lifecycle AS k WHERE k.sim_key = o.sim_key AND k.kind = 'top_up' AND k.to_value = o.kind
                        AND k.occurred_on BETWEEN o.day_before AND o.day)
), added AS (
    INSERT INTO core.sim_lifecycle
        (organization_id, sim_key, kind, occurred_on, from_value, to_value, evidence, decided_by, decided_at)
    SELECT ops.current_organization(), sim_key, kind, (occurred_at AT TIME ZONE 'UTC')::date, from_value, to_value, evidence,
           %(decided_by)s, %(now)s
    FROM (SELECT * FROM happened UNION ALL SELECT * FROM risen) AS found
    ORDER BY occurred_at, sim_key
    ON CONFLICT (sim_key, kind, occurred_on, to_value) DO NOTHING
    RETURNING kind
)
SELECT kind, count(*) AS added FROM added GROUP BY kind ORDER BY kind;
