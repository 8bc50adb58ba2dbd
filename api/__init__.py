"""The HTTP service: it serves the views of the pipeline, and takes what 1NCE streams."""
