-- One registration of a model's version at a time, until the end of the transaction. Parameters: model_name.
SELECT pg_advisory_xact_lock(hashtext('register ' || %(model_name)s), (SELECT ops.current_organization()));
