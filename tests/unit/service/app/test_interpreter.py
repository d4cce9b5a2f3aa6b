"""What a gateway that is up leaves out of garbage collection; in a process of its own, since it stays so."""

import json
import subprocess
import sys

SCRIPT = """
import gc, json, weakref
from service.app.interpreter import settle

class Knot:
    pass

kept = [[] for _ in range(1000)]
settle()
frozen = gc.get_freeze_count()
knot = Knot()
knot.itself = knot
gone = weakref.ref(knot)
del knot
gc.collect()
print(json.dumps([frozen, len(gc.get_objects()), gone() is None, gc.isenabled()]))
"""


def test_what_was_there_is_left_alone_and_what_comes_later_is_collected() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, check=True, text=True)
    frozen, left, collected, enabled = json.loads(done.stdout)
    assert frozen > 1000 > left
    assert collected
    assert enabled
