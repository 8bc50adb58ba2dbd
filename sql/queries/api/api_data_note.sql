-- One row: what is to be said of the data of the organization of this session; none for an unknown one.
SELECT data_note FROM core.organizations WHERE organization_id = ops.current_organization()
