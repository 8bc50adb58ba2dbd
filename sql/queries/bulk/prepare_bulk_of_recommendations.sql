-- One row: outcome and bulk_id of a bulk action that is prepared on recommendations (ops.prepare_bulk), the highest saving first.
-- Parameters: key_sha256 bytea, action text, chosen and said jsonb; ids bigint[], or NULL for those of the latest day that advise something;
-- then recommended (the action advised), decision (accepted, dismissed or open), label (whole) and label_prefix text, min_saving_minor bigint,
-- NULL each for any; named (how many ids) integer, phrase text, typed_above, most_pending integer, lasts interval, now timestamptz.
-- Index: quota_recommendations_by_saving.
SELECT p.outcome, p.prepared AS bulk_id
FROM ops.prepare_bulk(
    %(key_sha256)s::bytea, %(action)s::text, %(chosen)s::jsonb, %(said)s::jsonb,
    ARRAY(
        SELECT recommendation_id FROM predictions.quota_recommendations_v1
        WHERE CASE WHEN %(ids)s::bigint[] IS NOT NULL THEN recommendation_id = ANY (%(ids)s::bigint[])
              ELSE as_of = (SELECT max(as_of) FROM predictions.quota_recommendations) AND action <> 'nothing' END
          AND (%(recommended)s::text IS NULL OR action = %(recommended)s::text)
          AND (%(decision)s::text IS NULL OR coalesce(decision, 'open') = %(decision)s::text)
          AND (%(min_saving_minor)s::bigint IS NULL OR saving_minor >= %(min_saving_minor)s::bigint)
          AND (%(label)s::text IS NULL OR label = %(label)s::text)
          AND (%(label_prefix)s::text IS NULL OR starts_with(label, %(label_prefix)s::text))
        ORDER BY saving_minor DESC, recommendation_id
        LIMIT %(most)s
    ),
    %(named)s::integer, %(phrase)s::text, %(typed_above)s::integer, %(most_pending)s::integer, %(lasts)s::interval, %(now)s::timestamptz) AS p
