-- When each table last changed or what is newest in it, and when its last complete pass of asking 1NCE ended.
WITH changed (name, source, changed_at) AS (
    VALUES
        ('core.sims', 'sims', (SELECT max(changed_at) FROM core.sims)),
        ('core.sim_usage', 'usage', (SELECT max(known_at) FROM core.sim_usage)),
        ('core.sim_quota', 'quota', (SELECT max(observed_at) FROM core.sim_quota)),
        ('core.sim_connectivity', 'status', (SELECT max(observed_at) FROM core.sim_connectivity)),
        ('core.sim_events', 'events', (SELECT max(occurred_at) FROM core.sim_events)),
        ('core.sim_sms', 'sms', (SELECT max(submitted_at) FROM core.sim_sms)),
        ('core.products', 'products', (SELECT max(changed_at) FROM core.products)),
        ('core.orders', 'orders', (SELECT max(changed_at) FROM core.orders)),
        ('core.tickets', 'tickets', (SELECT max(changed_at) FROM core.tickets)),
        ('predictions.usage_forecasts', NULL, (SELECT max(created_at) FROM predictions.scorings WHERE model_name = 'usage-forecaster')),
        ('predictions.alerts', NULL, (SELECT greatest(max(opened_at), max(closed_at)) FROM predictions.alerts)),
        ('predictions.reports', NULL, (SELECT max(created_at) FROM predictions.reports))
)
SELECT name, changed_at, (SELECT max(finished_at) FROM ops.sweeps AS w WHERE w.source = changed.source) AS asked_at FROM changed;
