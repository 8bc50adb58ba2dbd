-- Tickets with what the checks look at.
SELECT status, subject, created_at FROM core.tickets;
