-- What moves the risk that a SIM leaves, feature by feature, stands beside the risk.
SET LOCAL ROLE simsight_owner;

ALTER TABLE predictions.churn_risks ADD COLUMN contributions jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN predictions.churn_risks.contributions IS 'The features that move the log odds of its likeliest cause most, over the months of the next 90 days, the largest first: [{"feature", "value" (a number, a text, or null: not known), "log_odds" (above 0 raises the risk)}]; empty for a SIM that is silent already, and of days before this column';
