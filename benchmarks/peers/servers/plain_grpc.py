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
    def __init__(self, image):
        self.image = image
        self.executor = ThreadPoolExecutor(workers())

    async def data(self, request):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, self.image, request.label_map.png, request.seed)

    async def Synthesize(self, request, context):
        data = await self.data(request)
        image = pb.Image(data=data, format=pb.IMAGE_FORMAT_PNG, seed=request.seed)
        return pb.SynthesizeResponse(images=[image])


async def serve(service):
    server = grpc.aio.server()
    synthesis_pb2_grpc.add_SynthesisServiceServicer_to_server(service, server)
    server.add_insecure_port(f"127.0.0.1:{port()}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(Service(Pipeline().image)))
