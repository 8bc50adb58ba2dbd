-- One row a channel, by name: whether it works, not where it leads.
SELECT * FROM ops.channel_names()
