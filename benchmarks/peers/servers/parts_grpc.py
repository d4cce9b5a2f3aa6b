"""Plain grpc.aio with parts of the work left out: what is left is what no server in Python goes below.

`PEER_PARTS` names what is done of `graphs` and `codec`. Where an image is not made, or not written, the reply
has one that was made at the start.
"""

import os

import numpy as np
import uvloop
from pipeline import Pipeline, class_ids, png_of
from plain_grpc import Service, serve


class Parts:
    def __init__(self, parts):
        self.parts = parts
        self.pipeline = Pipeline()
        self.ids = np.zeros(self.pipeline.plan["label_map"], np.uint8)
        self.pixels = self.pipeline.run(self.ids, self.pipeline.latent(0))
        self.data = png_of(self.pixels)

    def image(self, label_map, seed):
        ids, pixels, data = self.ids, self.pixels, self.data
        if "codec" in self.parts:
            ids = class_ids(label_map, *self.pipeline.plan["label_map"])
        if "graphs" in self.parts:
            pixels = self.pipeline.run(ids, self.pipeline.latent(seed))
        if "codec" in self.parts:
            data = png_of(pixels)
        return data


class Constant(Service):
    async def data(self, request):
        return self.image  # the file of one, made at the start


if __name__ == "__main__":
    parts = Parts(os.environ["PEER_PARTS"].split())
    uvloop.run(serve(Service(parts.image) if parts.parts else Constant(parts.data)))
