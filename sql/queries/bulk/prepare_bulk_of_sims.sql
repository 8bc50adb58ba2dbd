-- One row: outcome and bulk_id of a bulk action that is prepared on SIMs (ops.prepare_bulk), in the order of ICCIDs.
-- Parameters: key_sha256 bytea, action text, chosen and said jsonb; ids text[] (ICCIDs), NULL for any; label (as it is shown, whole),
-- label_prefix, status, state and country text, NULL each for any; named (how many ICCIDs) integer, phrase text, typed_above, most_pending
-- integer, lasts interval, now timestamptz. Index: sims_organization_id_iccid_key.
SELECT p.outcome, p.prepared AS bulk_id
FROM ops.prepare_bulk(
    %(key_sha256)s::bytea, %(action)s::text, %(chosen)s::jsonb, %(said)s::jsonb,
    ARRAY(
        SELECT s.sim_key::bigint FROM core.sims_v1 AS v JOIN core.sims AS s USING (organization_id, iccid)
        WHERE (%(ids)s::text[] IS NULL OR v.iccid = ANY (%(ids)s::text[]))
          AND (%(status)s::text IS NULL OR v.status = %(status)s::text)
          AND (%(state)s::text IS NULL OR v.state = %(state)s::text)
          AND (%(country)s::text IS NULL OR v.country = %(country)s::text)
          AND (%(label)s::text IS NULL OR v.label = %(label)s::text)
          AND (%(label_prefix)s::text IS NULL OR starts_with(v.label, %(label_prefix)s::text))
        ORDER BY v.iccid
        LIMIT %(most)s
    ),
    %(named)s::integer, %(phrase)s::text, %(typed_above)s::integer, %(most_pending)s::integer, %(lasts)s::interval, %(now)s::timestamptz) AS p
