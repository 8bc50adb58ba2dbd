-- One row: whether the kill switch is set.
SELECT EXISTS (SELECT FROM ops.action_switches WHERE stopped) AS stopped
