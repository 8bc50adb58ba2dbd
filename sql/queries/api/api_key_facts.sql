-- One row, none for a key that was never made: its scopes, the networks it may come from, whether it stands for tokens.
-- Parameters: key_sha256 bytea. Index: api_keys_key_sha256_key, inside ops.key_facts.
SELECT scopes, networks, for_tokens FROM ops.key_facts(%(key_sha256)s::bytea)
