"""The graphs in a loop, without any server: `graphs_alone.py THREADS OPERATOR_THREADS SECONDS` prints JSON.

Nothing is decoded or encoded, so that what is left between this and a server is all that a server adds.
"""

import json
import sys
import threading
import time

import numpy as np
from pipeline import Pipeline


def main():
    threads, operator_threads, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    pipeline = Pipeline(threads=operator_threads)
    latencies = [[] for _ in range(threads)]
    ids = np.zeros(pipeline.plan["label_map"], np.uint8)
    begin = time.perf_counter() + 1.0
    end = begin + seconds

    def loop(number):
        random = np.random.default_rng(number)
        while (started := time.perf_counter()) < end:
            pipeline.run(ids, random.standard_normal(pipeline.plan["latent"], np.float32))
            if started >= begin:
                latencies[number].append(time.perf_counter() - started)

    cpu = time.process_time()
    workers = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    time.sleep(max(0.0, begin - time.perf_counter()))
    cpu = time.process_time()
    for worker in workers:
        worker.join()
    cpu = time.process_time() - cpu
    found = sorted(latency for each in latencies for latency in each)
    figures = {
        "images": len(found),
        "per_second": len(found) / seconds,
        "observed": {"p50": found[len(found) // 2] * 1e3, "p99": found[int(len(found) * 0.99)] * 1e3},
        "cpu_ms_per_image": cpu * 1e3 / len(found),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
