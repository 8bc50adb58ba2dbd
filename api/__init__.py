"""The read-only HTTP service over the prediction views."""
