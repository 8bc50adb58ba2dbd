-- SIMs that 1NCE called expired when it was last asked; for an as-of day more than a week before that, nothing is known.
SELECT sim_key FROM ops.polls
WHERE source = 'quota' AND problem = 'OnceSimExpiredError' AND (polled_at AT TIME ZONE 'UTC')::date <= %(as_of)s::date + 7
  AND sim_key BETWEEN %(first_key)s AND %(last_key)s
ORDER BY sim_key;
