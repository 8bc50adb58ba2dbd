-- What /metrics says of the database: metric, organization (NULL: of the server), label and value of each figure. Of an organization that is
-- paused it says nothing: its data is meant to be old.
SELECT metric, organization, label, value FROM ops.metrics()
WHERE organization IS NULL OR organization IN (SELECT ops.active_organizations());
