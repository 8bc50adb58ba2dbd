-- Why a rule could not be evaluated.
UPDATE predictions.alert_rules SET error = %(error)s, evaluated_at = %(now)s WHERE rule_id = %(rule_id)s;
