-- Puts the SIMs that the stream has brought something of on the list to be booked from %(first)s to %(last)s, those that the usage call
-- covers to there left out, and says that the stream is booked to there. Index stream_usage_by_sim.
WITH touched AS (
    INSERT INTO ops.usage_touched AS w (organization_id, sim_key, stream_day)
    SELECT s.organization_id, s.sim_key, %(first)s::date
    FROM core.sims AS s
    LEFT JOIN ops.polls AS p ON p.sim_key = s.sim_key AND p.source = 'usage'
    WHERE (p.covered_to IS NULL OR p.covered_to < %(last)s::date)
      AND EXISTS (SELECT FROM own.stream_usage AS t WHERE t.sim_key = s.sim_key AND t.day <= %(last)s::date)
    ORDER BY s.sim_key
    ON CONFLICT (sim_key) DO UPDATE SET stream_day = least(w.stream_day, excluded.stream_day)
)
INSERT INTO ops.usage_book (organization_id, streamed_to) VALUES ((SELECT ops.current_organization()), %(last)s::date)
ON CONFLICT (organization_id) DO UPDATE SET streamed_to = excluded.streamed_to;
