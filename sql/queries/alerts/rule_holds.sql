-- What a rule says of the days from %(first)s to %(last)s, one row a day with a value: SIMs with one, SIMs for which it holds (on for_days days in a
-- row), those for which that begins, and the first five of these. The metric is put in; it is one pass over its table.
-- Parameters: first (for_days - 1 before the first day asked for), last, for_days, operator, threshold, scope jsonb.
WITH metric AS (
{part}
), crossed AS (
    SELECT m.sim_key, m.day, m.value, s.iccid, coalesce(s.own_label, s.label) AS label,
           CASE %(operator)s::text WHEN '>' THEN m.value > %(threshold)s WHEN '>=' THEN m.value >= %(threshold)s
                                   WHEN '<' THEN m.value < %(threshold)s ELSE m.value <= %(threshold)s END AS holds
    FROM metric AS m LEFT JOIN core.sims AS s USING (sim_key)
    WHERE m.value IS NOT NULL
      AND (NOT %(scope)s::jsonb ? 'label_prefix' OR starts_with(coalesce(s.own_label, s.label), %(scope)s::jsonb ->> 'label_prefix'))
      AND (NOT %(scope)s::jsonb ? 'iccids' OR s.iccid IN (SELECT jsonb_array_elements_text(%(scope)s::jsonb -> 'iccids')))
), stretches AS (
    SELECT *, day - row_number() OVER (PARTITION BY sim_key ORDER BY day)::integer AS stretch FROM crossed WHERE holds
), counted AS (
    SELECT *, row_number() OVER (PARTITION BY sim_key, stretch ORDER BY day) AS nth FROM stretches
)
SELECT d.day, d.known, coalesce(h.holding, 0) AS holding, coalesce(h.begins, 0) AS begins, h.examples
FROM (SELECT day, count(*) AS known FROM crossed WHERE day >= %(first)s::date + (%(for_days)s::integer - 1) GROUP BY day) AS d
LEFT JOIN (
    SELECT day, count(*) AS holding, count(*) FILTER (WHERE nth = %(for_days)s) AS begins,
           (array_agg(jsonb_build_object('iccid', iccid, 'label', label, 'value', value) ORDER BY value DESC, iccid)
               FILTER (WHERE nth = %(for_days)s))[1:5] AS examples
    FROM counted WHERE nth >= %(for_days)s GROUP BY day
) AS h USING (day)
ORDER BY d.day
