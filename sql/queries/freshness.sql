-- When each table last changed, and when what it rests on was last asked for.
SELECT 'core.sims' AS name, (SELECT max(changed_at) FROM core.sims) AS changed_at, NULL::timestamptz AS asked_at
UNION ALL SELECT 'core.sim_usage', (SELECT max(known_at) FROM core.sim_usage),
    (SELECT max(polled_at) FROM ops.polls WHERE source = 'usage')
UNION ALL SELECT 'core.sim_quota', (SELECT max(observed_at) FROM core.sim_quota),
    (SELECT max(polled_at) FROM ops.polls WHERE source = 'quota')
UNION ALL SELECT 'core.sim_connectivity', (SELECT max(observed_at) FROM core.sim_connectivity),
    (SELECT max(polled_at) FROM ops.polls WHERE source = 'status')
UNION ALL SELECT 'core.sim_events', (SELECT max(occurred_at) FROM core.sim_events),
    (SELECT max(polled_at) FROM ops.polls WHERE source = 'events')
UNION ALL SELECT 'core.sim_sms', (SELECT max(submitted_at) FROM core.sim_sms),
    (SELECT max(polled_at) FROM ops.polls WHERE source = 'sms')
UNION ALL SELECT 'core.products', (SELECT max(changed_at) FROM core.products),
    (SELECT max(received_at) FROM raw.landings WHERE source = 'products')
UNION ALL SELECT 'core.orders', (SELECT max(changed_at) FROM core.orders),
    (SELECT max(received_at) FROM raw.landings WHERE source = 'orders')
UNION ALL SELECT 'core.tickets', (SELECT max(changed_at) FROM core.tickets),
    (SELECT max(received_at) FROM raw.landings WHERE source = 'tickets')
UNION ALL SELECT 'predictions.usage_forecasts',
    (SELECT max(created_at) FROM predictions.scorings WHERE model_name = 'usage-forecaster'), NULL
UNION ALL SELECT 'predictions.alerts', (SELECT greatest(max(opened_at), max(closed_at)) FROM predictions.alerts), NULL
UNION ALL SELECT 'predictions.reports', (SELECT max(created_at) FROM predictions.reports), NULL;
