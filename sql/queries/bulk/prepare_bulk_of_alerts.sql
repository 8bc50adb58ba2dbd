-- One row: outcome and bulk_id of a bulk action that is prepared on alerts that are not over (ops.prepare_bulk), the most severe first.
-- Parameters: key_sha256 bytea, action text, chosen and said jsonb; ids bigint[], NULL for any, and how many were named; kind, severity, state
-- (acknowledged, snoozed, or open: neither), label (whole) and label_prefix text, rule_id integer, opened_before timestamptz, NULL each for any;
-- phrase text, typed_above, most_pending integer, lasts interval, now timestamptz. Index: alerts_open.
SELECT p.outcome, p.prepared AS bulk_id
FROM ops.prepare_bulk(
    %(key_sha256)s::bytea, %(action)s::text, %(chosen)s::jsonb, %(said)s::jsonb,
    ARRAY(
        SELECT alert_id FROM predictions.alerts_v1
        WHERE closed_at IS NULL
          AND (%(ids)s::bigint[] IS NULL OR alert_id = ANY (%(ids)s::bigint[]))
          AND (%(kind)s::text IS NULL OR kind = %(kind)s::text)
          AND (%(severity)s::text IS NULL OR severity = %(severity)s::text)
          AND (%(state)s::text IS NULL OR state = %(state)s::text)
          AND (%(rule_id)s::integer IS NULL OR rule_id = %(rule_id)s::integer)
          AND (%(label)s::text IS NULL OR label = %(label)s::text)
          AND (%(label_prefix)s::text IS NULL OR starts_with(label, %(label_prefix)s::text))
          AND (%(opened_before)s::timestamptz IS NULL OR opened_at < %(opened_before)s::timestamptz)
        ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), alert_id
        LIMIT %(most)s
    ),
    %(named)s::integer, %(phrase)s::text, %(typed_above)s::integer, %(most_pending)s::integer, %(lasts)s::interval, %(now)s::timestamptz) AS p
