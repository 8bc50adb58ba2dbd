-- Predicted and realized savings, month by month. Primary key.
SELECT month, scope, sims, predicted_minor, realized_minor, currency FROM predictions.realized_savings ORDER BY month, scope;
