-- A block of SIMs may be handed out twice: a broker hands it out again when it has not heard of its worker for a while, whether that worker
-- is dead or slow. Whoever computes a block therefore holds a lease on it, and says when it is finished what came of it.
SET LOCAL ROLE simsight_owner;

CREATE TABLE ops.block_leases (
    organization_id smallint NOT NULL REFERENCES core.organizations,
    work_id text NOT NULL,
    part text NOT NULL CHECK (part ~ '^[a-z][a-z0-9_]{0,62}$'),
    as_of date NOT NULL,
    block integer NOT NULL,
    holder text NOT NULL,
    held_until timestamptz NOT NULL,
    outcome jsonb,
    PRIMARY KEY (organization_id, work_id, part, as_of, block)
);
COMMENT ON TABLE ops.block_leases IS 'One row a block of SIMs that is being scored or waits for publication: who scores it, so that nobody else does, or what came of it';
COMMENT ON COLUMN ops.block_leases.organization_id IS 'Organization';
COMMENT ON COLUMN ops.block_leases.work_id IS 'Run that planned the blocks';
COMMENT ON COLUMN ops.block_leases.part IS 'Name of the scoring task, such as usage_forecasts, exhaustions or anomalies';
COMMENT ON COLUMN ops.block_leases.as_of IS 'As-of day of the block';
COMMENT ON COLUMN ops.block_leases.block IS 'Number of the block, from 0';
COMMENT ON COLUMN ops.block_leases.holder IS 'Who scores it: machine, process and a random part of its own';
COMMENT ON COLUMN ops.block_leases.held_until IS 'Until when it is the holder''s, by the database''s clock (UTC); later, another may take it over';
COMMENT ON COLUMN ops.block_leases.outcome IS 'What came of it: rows, SIMs and counts; NULL while it is being scored';
SELECT ops.guard('ops.block_leases', api_reads => false);
