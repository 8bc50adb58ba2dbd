-- Names of the organizations that are not paused.
SELECT slug AS name FROM ops.active_organizations() AS slug;
