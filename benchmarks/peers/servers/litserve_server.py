"""LitServe: a worker process a core.

https://lightning.ai/docs/litserve
"""

import base64

import litserve
from fastapi import Response
from pipeline import Pipeline, port, workers


class Draw(litserve.LitAPI):
    def setup(self, device):
        self.pipeline = Pipeline()

    def decode_request(self, request):
        return base64.b64decode(request["label_map"]), request["seed"]

    def predict(self, inputs):
        return self.pipeline.image(*inputs)

    def encode_response(self, output):
        return Response(content=output, media_type="image/png")


if __name__ == "__main__":
    server = litserve.LitServer(Draw(), accelerator="cpu", workers_per_device=workers())
    server.run(host="127.0.0.1", port=port(), generate_client_file=False, log_level="warning")
