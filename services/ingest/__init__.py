"""From 1NCE's answers, streams and files to checked rows."""
