-- Support tickets sorted by a model: category, priority, who answers, and the SIM a ticket is about; and what people corrected.
SET LOCAL ROLE simsight_owner;

CREATE TABLE predictions.ticket_classes (
    organization_id smallint NOT NULL,
    case_id text NOT NULL,
    scoring_id integer NOT NULL REFERENCES predictions.scorings,
    category text CHECK (category IN ('connectivity_issue', 'billing_question', 'quota_exhausted', 'activation_problem',
                                      'technical_support', 'account_management')),
    confidence double precision NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    priority text NOT NULL CHECK (priority IN ('high', 'medium', 'low')),
    to_person boolean NOT NULL,
    reasons text NOT NULL,
    sim_key integer REFERENCES core.sims,
    ticket_changed_at timestamptz NOT NULL,
    classified_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, case_id),
    FOREIGN KEY (organization_id, case_id) REFERENCES core.tickets ON DELETE CASCADE
);
COMMENT ON TABLE predictions.ticket_classes IS 'One row a support ticket: what the newest pass of the ticket classifier made of it';
COMMENT ON COLUMN predictions.ticket_classes.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.ticket_classes.case_id IS 'Ticket (core.tickets)';
COMMENT ON COLUMN predictions.ticket_classes.scoring_id IS 'Who made it (predictions.scorings)';
COMMENT ON COLUMN predictions.ticket_classes.category IS 'What is asked for; NULL: the ticket has no text';
COMMENT ON COLUMN predictions.ticket_classes.confidence IS 'Calibrated probability that the category is right';
COMMENT ON COLUMN predictions.ticket_classes.priority IS 'high, medium or low';
COMMENT ON COLUMN predictions.ticket_classes.to_person IS 'Whether a person is to decide: the confidence is low';
COMMENT ON COLUMN predictions.ticket_classes.reasons IS 'Why, in a sentence';
COMMENT ON COLUMN predictions.ticket_classes.sim_key IS 'SIM named in the text (core.sims); NULL: none, or several';
COMMENT ON COLUMN predictions.ticket_classes.ticket_changed_at IS 'Which state of the ticket was read: core.tickets.changed_at then (UTC)';
COMMENT ON COLUMN predictions.ticket_classes.classified_at IS 'When this was last found (UTC)';
CREATE INDEX ticket_classes_by_sim ON predictions.ticket_classes (sim_key) WHERE sim_key IS NOT NULL;
SELECT ops.guard('predictions.ticket_classes');

CREATE TABLE predictions.ticket_corrections (
    correction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id smallint NOT NULL,
    case_id text NOT NULL,
    category text NOT NULL CHECK (category IN ('connectivity_issue', 'billing_question', 'quota_exhausted', 'activation_problem',
                                               'technical_support', 'account_management')),
    note text NOT NULL DEFAULT '',
    said_by text NOT NULL,
    said_at timestamptz NOT NULL,
    FOREIGN KEY (organization_id, case_id) REFERENCES core.tickets ON DELETE CASCADE
);
COMMENT ON TABLE predictions.ticket_corrections IS 'One row a category that a person gave a ticket; the newest of a ticket holds, and the classifier learns from it';
COMMENT ON COLUMN predictions.ticket_corrections.correction_id IS 'Key, rising with time';
COMMENT ON COLUMN predictions.ticket_corrections.organization_id IS 'Organization';
COMMENT ON COLUMN predictions.ticket_corrections.case_id IS 'Ticket (core.tickets)';
COMMENT ON COLUMN predictions.ticket_corrections.category IS 'What is asked for, by this person';
COMMENT ON COLUMN predictions.ticket_corrections.note IS 'Why';
COMMENT ON COLUMN predictions.ticket_corrections.said_by IS 'Who said so';
COMMENT ON COLUMN predictions.ticket_corrections.said_at IS 'When (UTC)';
CREATE INDEX ticket_corrections_by_case ON predictions.ticket_corrections (organization_id, case_id, correction_id DESC);
SELECT ops.guard('predictions.ticket_corrections');
GRANT USAGE ON ALL SEQUENCES IN SCHEMA predictions TO simsight_pipeline;

CREATE FUNCTION ops.correct_ticket(
    presented_sha256 bytea, wanted text, right_category text, why text, by_whom text, now_is timestamptz) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    writer record;
BEGIN
    SELECT * INTO writer FROM ops.writing_key(presented_sha256);
    IF writer.organization_id IS NULL THEN
        RETURN 'read-only';
    ELSIF NOT EXISTS (SELECT FROM core.tickets WHERE organization_id = writer.organization_id AND case_id = wanted) THEN
        RETURN 'unknown';
    END IF;
    INSERT INTO predictions.ticket_corrections (organization_id, case_id, category, note, said_by, said_at)
    VALUES (writer.organization_id, wanted, right_category, coalesce(why, ''),
            concat_ws(' by ', 'API key ' || writer.name, by_whom), now_is);
    RETURN 'done';
END
$$;
COMMENT ON FUNCTION ops.correct_ticket(bytea, text, text, text, text, timestamptz) IS
    'Gives a ticket of the organization of an API key that may write its right category: done, read-only or unknown';
REVOKE ALL ON FUNCTION ops.correct_ticket(bytea, text, text, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.correct_ticket(bytea, text, text, text, text, timestamptz) TO simsight_api;
