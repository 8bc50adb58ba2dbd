-- 1NCE's API has two versions, and calls that go: what is known of each call; and what API v2 says that v1 does not.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.once_calls (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    call text NOT NULL,
    version text NOT NULL,
    last_success_at timestamptz,
    gone_since timestamptz,
    checked_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, call, version)
);
COMMENT ON TABLE ops.once_calls IS 'One row a call to 1NCE and version of its API that was asked: whether it answers';
COMMENT ON COLUMN ops.once_calls.organization_id IS 'Organization';
COMMENT ON COLUMN ops.once_calls.call IS 'Call (resources/once/calls.py), such as sims, usage, quota';
COMMENT ON COLUMN ops.once_calls.version IS 'Version of the API, such as v1';
COMMENT ON COLUMN ops.once_calls.last_success_at IS 'When it last answered (UTC); NULL: never';
COMMENT ON COLUMN ops.once_calls.gone_since IS 'When it was first found gone for everybody (UTC), since it last answered; NULL: it answers';
COMMENT ON COLUMN ops.once_calls.checked_at IS 'When it last answered or was last found gone (UTC); a gone call is asked again after a day';
SELECT ops.guard('ops.once_calls', api_reads => false);

ALTER TABLE core.sim_quota ADD COLUMN amount_accumulated bigint;
COMMENT ON COLUMN core.sim_quota.amount_accumulated IS 'All that was ever provisioned or topped up, same unit: accumulated minus left is what was used in all; NULL: API v1 does not say it';

ALTER TABLE core.sim_connectivity DROP CONSTRAINT sim_connectivity_status_check;
ALTER TABLE core.sim_connectivity ADD CONSTRAINT sim_connectivity_status_check
    CHECK (status IN ('OFFLINE', 'ATTACHED', 'ONLINE', 'BLOCKED'));
COMMENT ON COLUMN core.sim_connectivity.status IS 'OFFLINE, ATTACHED, ONLINE or BLOCKED';
