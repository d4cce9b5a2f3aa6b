"""Plain grpc.aio: one servicer, one executor.

https://grpc.github.io/grpc/python/grpc_asyncio.html
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc
from pipeline import Pipeline, port, workers

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc


class Service(synthesis_pb2_grpc.SynthesisServiceServicer):
    def __init__(self):
        self.pipeline = Pipeline()
        self.executor = ThreadPoolExecutor(workers())

    async def Synthesize(self, request, context):
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(
            self.executor, self.pipeline.image, request.label_map.png, request.seed
        )
        image = pb.Image(data=data, format=pb.IMAGE_FORMAT_PNG, seed=request.seed)
        return pb.SynthesizeResponse(images=[image])


async def serve():
    server = grpc.aio.server()
    synthesis_pb2_grpc.add_SynthesisServiceServicer_to_server(Service(), server)
    server.add_insecure_port(f"127.0.0.1:{port()}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
