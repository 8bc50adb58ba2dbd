-- Statistics of tables that have none yet.
SELECT ops.analyze_new_tables() AS tables;
