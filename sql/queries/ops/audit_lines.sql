-- Lines of the audit log, the newest first. Parameters: first, last (UTC days), event, who, subject, before (number), each or NULL; rows.
SELECT * FROM ops.audit_lines(%(first)s::date, %(last)s::date, %(event)s::text, %(who)s::text, %(subject)s::text, %(before)s::bigint,
                              %(rows)s::integer)
