-- Alert rules are switched on and off and deleted in one place, which the command line and the HTTP service share.
SET LOCAL ROLE simsight_owner;

CREATE FUNCTION predictions.switch_alert_rule(organization smallint, wanted integer, turn_on boolean, remove boolean, now_is timestamptz)
    RETURNS integer
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH rule AS (
        UPDATE predictions.alert_rules SET
            enabled = turn_on, changed_at = now_is, deleted_at = CASE WHEN remove THEN now_is END, error = NULL
        WHERE rule_id = wanted AND organization_id = organization AND deleted_at IS NULL
        RETURNING rule_id
    ), closed AS (
        UPDATE predictions.alerts AS a SET closed_at = now_is, closed_as_of = seen_as_of
        FROM rule WHERE a.rule_id = rule.rule_id AND a.closed_at IS NULL AND NOT turn_on
        RETURNING 1
    )
    SELECT (SELECT count(*)::integer FROM closed) FROM rule;
END;
COMMENT ON FUNCTION predictions.switch_alert_rule(smallint, integer, boolean, boolean, timestamptz) IS
    'Switch a rule on or off, or delete it; what it has open is closed when it no longer looks. Returns how many alerts were closed, NULL where there is no such rule. Runs with the rights of its caller';
REVOKE ALL ON FUNCTION predictions.switch_alert_rule(smallint, integer, boolean, boolean, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION predictions.switch_alert_rule(smallint, integer, boolean, boolean, timestamptz) TO simsight_pipeline;

CREATE FUNCTION ops.switch_alert_rule(presented_sha256 bytea, wanted integer, turn_on boolean, remove boolean, now_is timestamptz) RETURNS integer
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT predictions.switch_alert_rule(k.organization_id, wanted, turn_on, remove, now_is) FROM ops.writing_key(presented_sha256) AS k;
END;
COMMENT ON FUNCTION ops.switch_alert_rule(bytea, integer, boolean, boolean, timestamptz) IS
    'switch_alert_rule for the organization of an API key that may write; NULL, and nothing changed, where the key may not or there is no such rule';
REVOKE ALL ON FUNCTION ops.switch_alert_rule(bytea, integer, boolean, boolean, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ops.switch_alert_rule(bytea, integer, boolean, boolean, timestamptz) TO simsight_api;
