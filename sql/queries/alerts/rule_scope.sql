-- One row: SIMs there are, SIMs in the scope, and up to five ICCIDs of it that are no SIM of the organization. Parameters: scope jsonb.
SELECT (SELECT count(*) FROM core.sims) AS fleet,
       (SELECT count(*) FROM core.sims AS s
        WHERE (NOT %(scope)s::jsonb ? 'label_prefix' OR starts_with(coalesce(s.own_label, s.label), %(scope)s::jsonb ->> 'label_prefix'))
          AND (NOT %(scope)s::jsonb ? 'iccids' OR s.iccid IN (SELECT jsonb_array_elements_text(%(scope)s::jsonb -> 'iccids')))) AS sims,
       ARRAY(SELECT i FROM jsonb_array_elements_text(%(scope)s::jsonb -> 'iccids') AS i
             WHERE NOT EXISTS (SELECT FROM core.sims AS s WHERE s.iccid = i) LIMIT 5) AS unknown
