-- Delete a channel with what waits for it, its quiet hours and its steps in policies stay without effect. One row: how many messages waited.
WITH channel AS (
    UPDATE ops.channels SET deleted_at = %(now)s WHERE name = %(name)s AND deleted_at IS NULL RETURNING channel_id
), dropped AS (
    UPDATE ops.notifications AS n SET state = 'dropped', last_error = 'the channel was deleted'
    FROM channel WHERE n.channel_id = channel.channel_id AND n.state = 'pending' RETURNING 1
)
SELECT channel_id, (SELECT count(*) FROM dropped) AS dropped FROM channel;
