-- What /metrics says of the database: metric, organization (NULL: of the server), label and value of each figure.
SELECT metric, organization, label, value FROM ops.metrics();
