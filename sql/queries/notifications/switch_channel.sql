-- Disable a channel for a reason, or enable it (reason null). Parameters: channel_id, reason, now.
UPDATE ops.channels SET parked_at = CASE WHEN %(reason)s::text IS NOT NULL THEN %(now)s::timestamptz END, parked_reason = %(reason)s::text
WHERE channel_id = %(channel_id)s AND (parked_reason IS NOT NULL OR %(reason)s::text IS NOT NULL);
