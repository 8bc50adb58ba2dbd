"""All models there are: importing this module registers them. No training library is loaded by it."""

import services.anomalies.detection
import services.forecasting  # noqa: F401 - imported for the spec it registers
from services.model_specs import UnknownModelError, spec_of, specs

__all__ = ["UnknownModelError", "spec_of", "specs"]
