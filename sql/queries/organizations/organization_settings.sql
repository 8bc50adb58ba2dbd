-- The settings of the session's organization that are its own.
SELECT name, value FROM ops.organization_settings WHERE organization_id = (SELECT ops.current_organization()) ORDER BY name;
