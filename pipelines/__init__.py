"""The Dagster code location and the command line."""

import os
import warnings

# steps and blocks of SIMs run side by side as processes, on small matrices: further threads of BLAS would only wait for
# each other, busily (training a churn model took 1.5 times the CPU). Read when NumPy is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Dagster says so once a parameter in every process that loads the code location; the version is pinned
warnings.filterwarnings("ignore", message=".*is currently in (beta|preview)")
