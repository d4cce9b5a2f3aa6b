"""For all tests."""

from __future__ import annotations

import os

# Must be set before torch is imported. Its threads spin while they wait for one another: on two cores that had
# other work as well, the tests' small networks took twenty times as long on two threads as on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
