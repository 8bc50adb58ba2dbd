"""All models there are, in the order they are listed: importing this module registers them. It loads no training
library.
"""

import services.forecasting  # isort: skip
import services.anomalies.detection
import services.churn
import services.quota.policy
import services.tickets  # noqa: F401 - all are imported for the spec they register
from services.model_specs import UnknownModelError, spec_of, specs

__all__ = ["UnknownModelError", "spec_of", "specs"]
