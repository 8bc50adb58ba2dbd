-- Anomalies are found over blocks of SIMs, and incidents while a day is under way: what SIMs have in common stands with their limits.
SET LOCAL ROLE simsight_owner;

ALTER TABLE ops.staged_blocks
    DROP CONSTRAINT staged_blocks_part_check,
    ADD CONSTRAINT staged_blocks_part_check CHECK (part IN ('usage_forecasts', 'exhaustions', 'anomalies'));
COMMENT ON COLUMN ops.staged_blocks.part IS 'What is scored: usage_forecasts, exhaustions or anomalies';

ALTER TABLE predictions.anomaly_state
    ADD COLUMN device_type text,
    ADD COLUMN label_prefix text,
    ADD COLUMN country text,
    ADD COLUMN operator text,
    ADD COLUMN batch text;
COMMENT ON COLUMN predictions.anomaly_state.device_type IS 'First 8 digits of its IMEI; NULL: not known';
COMMENT ON COLUMN predictions.anomaly_state.label_prefix IS 'What its label begins with; NULL: nothing';
COMMENT ON COLUMN predictions.anomaly_state.country IS 'Where it was last seen; NULL: never';
COMMENT ON COLUMN predictions.anomaly_state.operator IS 'On whose network it was last seen; NULL: never';
COMMENT ON COLUMN predictions.anomaly_state.batch IS 'Month of its activation; NULL: not known';
