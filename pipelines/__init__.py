"""The Dagster code location and the command line."""

import warnings

# Dagster says so once a parameter in every process that loads the code location; the version is pinned
warnings.filterwarnings("ignore", message=".*is currently in (beta|preview)")
