-- A rule as of %(as_of)s: open an alert for each SIM for which it holds, keep what still holds, close what is over; one row with the counts.
-- Where the metric has no value at all for the day nothing is known, and nothing changes. What a person resolved stays resolved until the rule has
-- not held for a day. The metric is put in; it is one pass over its table. Index: alerts_one_open_of_rule.
-- Parameters: rule_id, version, as_of, first (for_days - 1 before as_of), last (as_of), for_days, operator, threshold, scope jsonb, severity, now,
-- says (a format with one place for the value).
WITH metric AS MATERIALIZED (
{part}
), crossed AS (
    SELECT m.sim_key, m.day, m.value
    FROM metric AS m LEFT JOIN core.sims AS s USING (sim_key)
    WHERE CASE %(operator)s::text WHEN '>' THEN m.value > %(threshold)s WHEN '>=' THEN m.value >= %(threshold)s
                                  WHEN '<' THEN m.value < %(threshold)s ELSE m.value <= %(threshold)s END
      AND (NOT %(scope)s::jsonb ? 'label_prefix' OR starts_with(coalesce(s.own_label, s.label), %(scope)s::jsonb ->> 'label_prefix'))
      AND (NOT %(scope)s::jsonb ? 'iccids' OR s.iccid IN (SELECT jsonb_array_elements_text(%(scope)s::jsonb -> 'iccids')))
), holding AS MATERIALIZED (
    SELECT sim_key, max(value) FILTER (WHERE day = %(as_of)s) AS value
    FROM crossed GROUP BY sim_key
    HAVING count(*) = %(for_days)s
), known AS (
    SELECT EXISTS (SELECT FROM metric WHERE day = %(as_of)s AND value IS NOT NULL) AS today
), closed AS (
    UPDATE predictions.alerts AS a SET closed_as_of = %(as_of)s, closed_at = %(now)s
    FROM known AS k
    WHERE k.today AND a.rule_id = %(rule_id)s AND a.closed_at IS NULL
        AND NOT EXISTS (SELECT FROM holding AS h WHERE h.sim_key IS NOT DISTINCT FROM a.sim_key)
    RETURNING 1
), kept AS (
    UPDATE predictions.alerts AS a SET
        severity = CASE WHEN a.closed_at IS NULL THEN %(severity)s ELSE a.severity END,
        value = h.value, threshold = %(threshold)s, rule_version = %(version)s, seen_as_of = %(as_of)s,
        message = format(%(says)s, round(h.value::numeric, 3)::double precision)
    FROM holding AS h
    WHERE a.rule_id = %(rule_id)s AND a.sim_key IS NOT DISTINCT FROM h.sim_key
        AND (a.closed_at IS NULL OR (a.closed_at = a.acted_at AND a.seen_as_of >= %(as_of)s::date - 1))
        AND (a.value, a.threshold, a.rule_version, a.seen_as_of)
            IS DISTINCT FROM (h.value, %(threshold)s, %(version)s, %(as_of)s)
    RETURNING 1
), opened AS (
    INSERT INTO predictions.alerts (organization_id, sim_key, kind, severity, value, threshold, message, opened_as_of, opened_at, seen_as_of,
                                    rule_id, rule_version)
    SELECT (SELECT ops.current_organization()), h.sim_key, 'rule', %(severity)s, h.value, %(threshold)s,
           format(%(says)s, round(h.value::numeric, 3)::double precision), %(as_of)s, %(now)s, %(as_of)s, %(rule_id)s, %(version)s
    FROM holding AS h
    WHERE NOT EXISTS (
        SELECT FROM predictions.alerts AS a
        WHERE a.rule_id = %(rule_id)s AND a.sim_key IS NOT DISTINCT FROM h.sim_key
            AND (a.closed_at IS NULL OR (a.closed_at = a.acted_at AND a.seen_as_of >= %(as_of)s::date - 1)))
    RETURNING 1
), noted AS (
    UPDATE predictions.alert_rules SET
        evaluated_as_of = CASE WHEN k.today THEN %(as_of)s ELSE evaluated_as_of END, evaluated_at = %(now)s,
        holding = CASE WHEN k.today THEN (SELECT count(*) FROM holding) ELSE alert_rules.holding END,
        error = CASE WHEN NOT k.today THEN 'the metric has no value as of ' || %(as_of)s::date || ' yet' END
    FROM known AS k WHERE rule_id = %(rule_id)s
)
SELECT (SELECT count(*) FROM opened) AS opened, (SELECT count(*) FROM kept) AS updated, (SELECT count(*) FROM closed) AS closed,
       (SELECT count(*) FROM holding) AS holding, (SELECT today FROM known) AS known;
