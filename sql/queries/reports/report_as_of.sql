-- One row: the organization, what is to be said of its data, and the latest day up to %(last)s as of which there are predictions, or NULL. Index: exhaustions_by_as_of.
SELECT o.slug AS organization, o.data_note, greatest(
    (SELECT max(as_of) FROM predictions.exhaustions WHERE as_of <= %(last)s::date),
    (SELECT max(as_of) FROM predictions.aggregate_forecasts WHERE as_of <= %(last)s::date)) AS as_of
FROM core.organizations AS o WHERE o.organization_id = (SELECT ops.current_organization());
