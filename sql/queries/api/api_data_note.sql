-- One row: what is to be said of the data of an organization; empty for an unknown one. Parameters: slug.
SELECT ops.data_note(%(slug)s::text) AS data_note
