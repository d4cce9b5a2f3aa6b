"""PyTorch eager behind grpc.aio: the networks as they were trained, in `.venv/dev`."""

import asyncio
import io
import os
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import torch
from PIL import Image
from pipeline import port, workers

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc
from training.config.packs import pack_folder
from training.sis_ug.config import load_config
from training.sis_ug.pipeline import load_pipeline


class Service(synthesis_pb2_grpc.SynthesisServiceServicer):
    def __init__(self):
        torch.set_num_threads(1)
        name = os.environ["PEER_PACK"]
        self.config = load_config(name)
        self.pipeline = load_pipeline(self.config, pack_folder(name)).eval()
        self.executor = ThreadPoolExecutor(workers())

    def image(self, label_map, seed):
        side = self.pipeline.generator.image_size
        with Image.open(io.BytesIO(label_map)) as file:
            ids = np.asarray(file.resize((side, side), Image.Resampling.NEAREST), np.uint8)
        noise = np.random.default_rng(seed).standard_normal(self.pipeline.generator.latent_dim, np.float32)
        with torch.inference_mode():
            latents = torch.from_numpy(noise)[None] * self.config.latent.scale
            strength = torch.full((1, 1), self.config.mapper.style_strength.default)
            made = self.pipeline(torch.from_numpy(ids.astype(np.int64))[None], latents, strength)
            pixels = (made[0] * 127.5 + 127.5).clamp(0, 255).permute(1, 2, 0).round().byte().numpy()
        reply = io.BytesIO()
        Image.fromarray(pixels).save(reply, "PNG", compress_level=1)
        return reply.getvalue()

    async def Synthesize(self, request, context):
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
    asyncio.run(serve())
