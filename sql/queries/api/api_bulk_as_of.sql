-- One row: the latest as-of day of a set of predictions; of usage and anomalies that of the exhaustions; NULL without one.
-- Parameters: dataset text. Indexes: the one of each table by as-of day.
SELECT CASE %(dataset)s::text
           WHEN 'forecasts' THEN (SELECT max(as_of) FROM predictions.newest_forecasts)
           WHEN 'churn-risks' THEN (SELECT max(as_of) FROM predictions.churn_risks)
           WHEN 'recommendations' THEN (SELECT max(as_of) FROM predictions.quota_recommendations)
           ELSE (SELECT max(as_of) FROM predictions.exhaustions) END AS as_of
