-- One trace from a POST of the Data Streamer to the message that tells of its alert: where a batch and an alert came from.
SET LOCAL ROLE simsight_owner;

ALTER TABLE raw.stream_batches ADD COLUMN traceparent text DEFAULT nullif(current_setting('simsight.traceparent', true), '')
    CHECK (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');
COMMENT ON COLUMN raw.stream_batches.traceparent IS
    'Span that stored it, as W3C Trace Context writes it; NULL: traces were not written then';
ALTER TABLE predictions.alerts ADD COLUMN traceparent text DEFAULT nullif(current_setting('simsight.traceparent', true), '')
    CHECK (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');
COMMENT ON COLUMN predictions.alerts.traceparent IS
    'Span that opened it, as W3C Trace Context writes it; its messages continue that trace. NULL: traces were not written then';
