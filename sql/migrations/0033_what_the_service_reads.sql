-- The list of exhaustions begins with the live SIM that ends soonest, so the index of a day has that order: ended SIMs
-- last, then by the day of the end.
SET LOCAL ROLE simsight_owner;

DROP INDEX predictions.exhaustions_by_as_of;
CREATE INDEX exhaustions_by_as_of ON predictions.exhaustions (
    organization_id,
    as_of,
    (status IN ('exhausted', 'expired')),
    (CASE
        WHEN status = 'not_enough_evidence' AND p_30 = 1 AND expires_on IS NOT NULL THEN expires_on
        WHEN p50_date IS NULL THEN 'infinity'::date
        ELSE p50_date
    END)
);

-- A service whose login has no other role shows the note on the data of its organization, of which it learns nothing else.
CREATE FUNCTION ops.data_note(wanted text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN coalesce((SELECT data_note FROM core.organizations WHERE slug = wanted), '');
COMMENT ON FUNCTION ops.data_note(text) IS 'What is to be said of the data of an organization, by its slug; empty where there is none';
REVOKE ALL ON FUNCTION ops.data_note(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.data_note(text) TO simsight_api;
