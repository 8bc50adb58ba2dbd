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

-- A service whose login has no other role looks up the note on the data of its organization.
GRANT EXECUTE ON FUNCTION ops.organization(text) TO simsight_api;
