-- The champion makes room for another version.
UPDATE predictions.backtests SET role = 'retired' WHERE model_name = %(model_name)s AND role = 'champion';
