"""Ray Serve: a replica a core.

https://docs.ray.io/en/latest/serve/
"""

import threading

import ray
from pipeline import Pipeline, port, workers
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=workers(), max_ongoing_requests=16, ray_actor_options={"num_cpus": 0.5})
class Draw:
    def __init__(self):
        self.pipeline = Pipeline()

    async def __call__(self, request: Request) -> Response:
        label_map = await request.body()
        data = self.pipeline.image(label_map, int(request.query_params["seed"]))
        return Response(data, media_type="image/png")


if __name__ == "__main__":
    ray.init(num_cpus=max(2, workers()), include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port()})
    serve.run(Draw.bind(), route_prefix="/image")
    threading.Event().wait()
