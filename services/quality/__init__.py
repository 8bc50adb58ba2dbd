"""Data quality: the suites, and how rows are held against them."""
