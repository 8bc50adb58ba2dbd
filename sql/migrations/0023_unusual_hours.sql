-- A kind of anomaly more: active at hours at which the SIM never was.
SET LOCAL ROLE simsight_owner;

ALTER TABLE predictions.anomalies DROP CONSTRAINT anomalies_kind_check, DROP CONSTRAINT anomalies_unit_check,
    ADD CONSTRAINT anomalies_kind_check CHECK (kind IN ('spike', 'runaway', 'drift', 'silence', 'dead', 'new_pattern', 'sms_flood',
        'flapping', 'unusual_hours', 'imei_change', 'unexpected_country', 'unexpected_operator')),
    ADD CONSTRAINT anomalies_unit_check CHECK (unit IN ('bytes', 'messages', 'sessions', 'hours', 'days'));
COMMENT ON COLUMN predictions.anomalies.kind IS 'spike: far above its usual; runaway: keeps rising; drift: a lasting new level; silence: nothing for far longer than its usual gap; '
    'dead: silence that is not expected to end; new_pattern: an unusual mix; sms_flood; flapping: connects again and again; '
    'unusual_hours: active at hours (UTC) at which it never was; imei_change; unexpected_country; unexpected_operator';
COMMENT ON COLUMN predictions.anomalies.unit IS 'bytes (millionths of a MB), messages, sessions, hours (of the day) or days (of silence); NULL where nothing is measured';
