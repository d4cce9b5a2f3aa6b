"""For all tests."""

from __future__ import annotations

import os

# Must be set before torch is imported. Its threads spin while they wait for one another: on a machine that does
# other work as well, the small networks of the tests take twenty times as long on two threads as on one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
