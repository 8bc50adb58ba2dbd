-- What the fleet used each day, kept with each load of usage, so that reports need not add up a row of every SIM; it stays when the
-- rows are deleted. No continuous aggregate: late corrections would be missing from it until its next refresh.
SET LOCAL ROLE simsight_owner;

CREATE TABLE core.daily_totals (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    day date NOT NULL,
    sims integer NOT NULL,
    active_sims integer NOT NULL,
    bytes bigint NOT NULL,
    sms bigint NOT NULL,
    is_closed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organization_id, day)
);
COMMENT ON TABLE core.daily_totals IS 'One row a UTC day with usage: what the fleet used; every load of usage keeps it';
COMMENT ON COLUMN core.daily_totals.organization_id IS 'Organization';
COMMENT ON COLUMN core.daily_totals.day IS 'UTC day';
COMMENT ON COLUMN core.daily_totals.sims IS 'SIMs whose usage of the day is known';
COMMENT ON COLUMN core.daily_totals.active_sims IS 'SIMs that used data on the day';
COMMENT ON COLUMN core.daily_totals.bytes IS 'Data volume of the day in bytes (millionths of a MB), received and sent';
COMMENT ON COLUMN core.daily_totals.sms IS 'SMS of the day, to and from devices';
COMMENT ON COLUMN core.daily_totals.is_closed IS 'Whether rows of the day are deleted by SIMSIGHT_USAGE_DAYS: the total stays as it is';
SELECT ops.guard('core.daily_totals');

CREATE FUNCTION ops.add_up_days() RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM core.daily_totals WHERE NOT is_closed;
    INSERT INTO core.daily_totals (organization_id, day, sims, active_sims, bytes, sms)
    SELECT organization_id, day, count(*), count(*) FILTER (WHERE bytes > 0), sum(bytes),
           sum(coalesce(sms_mt, 0) + coalesce(sms_mo, 0) + coalesce(sms_unsplit, 0))
    FROM core.sim_usage GROUP BY organization_id, day
    ON CONFLICT (organization_id, day) DO NOTHING;
$$;
COMMENT ON FUNCTION ops.add_up_days() IS 'Adds up core.daily_totals anew from all rows of usage, of every organization: for the owner, after usage was written past Simsight';
REVOKE ALL ON FUNCTION ops.add_up_days() FROM PUBLIC;
SELECT ops.add_up_days();
