"""Great Expectations, told to keep to itself before it is imported.

Importing it takes seconds: import this module only where a check runs, or in what the processes of checks are forked
from.
"""

import os

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")  # read at the import: it would call home

import great_expectations as gx

__all__ = ["gx"]
