-- Usage is loaded in the order of its key: full index pages save a tenth of the index, and later days split them where they must.
-- A unique index instead of a primary key: only an index hands its options down to the chunks of a hypertable.
SET LOCAL ROLE simsight_owner;

ALTER TABLE core.sim_usage DROP CONSTRAINT sim_usage_pkey;
CREATE UNIQUE INDEX sim_usage_key ON core.sim_usage (sim_key, day) WITH (fillfactor = 100);
