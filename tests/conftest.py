"""For all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Must be set before torch is imported. Its threads spin while they wait for one another: on two cores with
# other work on them, the tests' small networks took twenty times as long on two threads as on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Nothing asserts on a duration: hypothesis would call examples slow, and fail, on a busy machine.
settings.register_profile("maskweave", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("maskweave")
