-- One row a SIM: id, iccid, the label it is shown with now, and which of its two labels that is. Parameter: things bigint[], whose order the rows have.
SELECT iccid AS id, iccid, coalesce(own_label, label) AS label,
       CASE WHEN own_label IS NOT NULL THEN concat('labelled here; 1NCE: ', coalesce(label, 'none')) ELSE 'labelled as at 1NCE' END AS text
FROM core.sims WHERE sim_key = ANY (%(things)s::integer[])
ORDER BY array_position(%(things)s::integer[], sim_key)
