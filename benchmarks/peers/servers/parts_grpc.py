"""Plain grpc.aio with parts of the work left out: what is left is what no server in Python goes below.

`PEER_PARTS` names what is done of `graphs` and `codec`. Where an image is not made, or not written, the reply
has one that was made at the start.
"""

import asyncio
import io
import os
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import uvloop
from PIL import Image
from pipeline import Pipeline, port, workers

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc


class Service(synthesis_pb2_grpc.SynthesisServiceServicer):
    def __init__(self):
        self.parts = os.environ["PEER_PARTS"].split()
        self.pipeline = Pipeline()
        self.ids = np.zeros(self.pipeline.plan["label_map"], np.uint8)
        self.pixels = self.pipeline.run(self.ids, self.latent(0))
        self.data = self.written(self.pixels)
        self.executor = ThreadPoolExecutor(workers())

    def latent(self, seed):
        return np.random.default_rng(seed).standard_normal(self.pipeline.plan["latent"], np.float32)

    def written(self, pixels):
        reply = io.BytesIO()
        Image.fromarray(pixels).save(reply, "PNG", compress_level=1)
        return reply.getvalue()

    def image(self, label_map, seed):
        ids, pixels, data = self.ids, self.pixels, self.data
        if "codec" in self.parts:
            height, width = self.pipeline.plan["label_map"]
            with Image.open(io.BytesIO(label_map)) as file:
                ids = np.asarray(file.resize((width, height), Image.Resampling.NEAREST), np.uint8)
        if "graphs" in self.parts:
            pixels = self.pipeline.run(ids, self.latent(seed))
        if "codec" in self.parts:
            data = self.written(pixels)
        return data

    async def Synthesize(self, request, context):
        data = self.data
        if self.parts:
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(self.executor, self.image, request.label_map.png, request.seed)
        image = pb.Image(data=data, format=pb.IMAGE_FORMAT_PNG, seed=request.seed)
        return pb.SynthesizeResponse(images=[image])


async def serve():
    server = grpc.aio.server()
    synthesis_pb2_grpc.add_SynthesisServiceServicer_to_server(Service(), server)
    server.add_insecure_port(f"127.0.0.1:{port()}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve())
