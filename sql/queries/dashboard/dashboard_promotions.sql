-- One row a change of champion, the newest first. Parameter: rows integer. Index: promotions_pkey.
SELECT model_name, model_version, from_version, decided_by, decided_at, why FROM predictions.promotions_v1 ORDER BY promotion_id DESC LIMIT %(rows)s::integer
