"""1NCE: the client of its API and the records of its Data Streamer."""
