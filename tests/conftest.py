"""For all tests."""

from __future__ import annotations

import os

# Must be set before torch is imported. Its threads spin while they wait for one another: on two cores with
# other work on them, the tests' small networks took twenty times as long on two threads as on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
