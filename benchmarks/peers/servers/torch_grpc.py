"""PyTorch eager behind grpc.aio: the networks as they were trained, in `.venv/dev`."""

import asyncio
import os

import numpy as np
import torch
from pipeline import class_ids, png_of
from plain_grpc import Service, serve

from training.config.packs import pack_folder
from training.sis_ug.config import load_config
from training.sis_ug.pipeline import load_pipeline


class Eager:
    def __init__(self):
        torch.set_num_threads(1)
        name = os.environ["PEER_PACK"]
        self.config = load_config(name)
        self.pipeline = load_pipeline(self.config, pack_folder(name)).eval()

    def image(self, label_map, seed):
        side = self.pipeline.generator.image_size
        ids = class_ids(label_map, side, side)
        noise = np.random.default_rng(seed).standard_normal(self.pipeline.generator.latent_dim, np.float32)
        with torch.inference_mode():
            latents = torch.from_numpy(noise)[None] * self.config.latent.scale
            strength = torch.full((1, 1), self.config.mapper.style_strength.default)
            made = self.pipeline(torch.from_numpy(ids.astype(np.int64))[None], latents, strength)
            pixels = (made[0] * 127.5 + 127.5).clamp(0, 255).permute(1, 2, 0).round().byte().numpy()
        return png_of(pixels)


if __name__ == "__main__":
    asyncio.run(serve(Service(Eager().image)))
