"""Load on a gateway that is about to be stopped, as a program of its own: it runs on a pod's network.

Prints `going` once every caller has had an answer, goes on until each is told UNAVAILABLE, and prints what
became of all calls as JSON. Nothing is tried again.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter

import grpc

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc

CALLERS, STREAMS, IMAGES = 4, 2, 4
PAUSE_SECONDS = 0.05
SECONDS = 60

REQUEST = pb.SynthesizeRequest(
    model="faces64", label_map=pb.LabelMap(raw=pb.RawLabelMap(data=bytes(16), width=4, height=4)), seed=1
)
STREAM = pb.SynthesizeRequest()
STREAM.CopyFrom(REQUEST)
STREAM.number_of_images = IMAGES


class Callers:
    """Those who ask, each again as soon as it has its answer and has paused."""

    def __init__(self, target: str) -> None:
        self.outcomes = {"calls": Counter[str](), "streams": Counter[str]()}
        self._answered = threading.Barrier(CALLERS + STREAMS + 1)
        self._target = target

    def run(self) -> None:
        """Ask until the end, and say when it is going."""
        kinds = ["calls"] * CALLERS + ["streams"] * STREAMS
        threads = [threading.Thread(target=self._ask, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        self._answered.wait(SECONDS)
        before = sum(self.outcomes[kind]["OK"] for kind in self.outcomes)
        print("going", flush=True)
        for thread in threads:
            thread.join()
        after = sum(self.outcomes[kind]["OK"] for kind in self.outcomes) - before
        told = {kind: dict(counts) for kind, counts in self.outcomes.items()}
        print(json.dumps({**told, "after the signal": after}))

    def _ask(self, kind: str) -> None:
        options = (("grpc.enable_retries", 0), ("grpc.enable_http_proxy", 0))
        with grpc.insecure_channel(self._target, options) as channel:
            stub = pb_grpc.SynthesisServiceStub(channel)
            first = True
            while True:
                try:
                    if kind == "calls":
                        whole = len(stub.Synthesize(REQUEST, timeout=SECONDS).images) == 1
                    else:
                        whole = len(list(stub.SynthesizeStream(STREAM, timeout=SECONDS))) == IMAGES
                    code = "OK" if whole else "incomplete"
                except grpc.RpcError as error:
                    code = error.code().name
                self.outcomes[kind][code] += 1
                if code != "OK":
                    if first:
                        self._answered.abort()
                    return
                if first:
                    first = False
                    self._answered.wait(SECONDS)
                time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    Callers(sys.argv[1]).run()
