-- Keep a report; no row where its schedule made one of the period already.
INSERT INTO predictions.period_reports
    (organization_id, schedule_id, name, first_day, last_day, as_of, label, country, data_note, reading, made_at)
VALUES ((SELECT ops.current_organization()), %(schedule_id)s, %(name)s, %(first)s, %(last)s, %(as_of)s, %(label)s, %(country)s, %(data_note)s,
        %(reading)s, %(now)s)
ON CONFLICT ON CONSTRAINT period_reports_once DO NOTHING
RETURNING report_id;
