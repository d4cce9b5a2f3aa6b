"""Paints hair onto a sample label map, stroke by stroke, and shows what the service makes of every canvas.

Uses nothing but the client, NumPy and Pillow. With a service on `localhost:50051`, as `make serve` starts it:

    python client/examples/paint.py --address localhost:50051 --output paint.gif
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from maskweave_client import Client, Frame, PaintSession

LABEL_MAP = Path(__file__).parent / "label_maps" / "drawn_hat.png"
TILE = 192  # pixels of the animation per side of an image
FRAME_MILLISECONDS = 80


def main() -> None:
    """Paint, write the animation, and say how long after its stroke each frame was there."""
    options = _options()
    with Image.open(LABEL_MAP) as image:
        label_map = np.asarray(image)
    frames: list[tuple[float, Frame]] = []
    with Client(options.address) as client:
        model = client.model(options.model)
        hair = next(entry.id for entry in model.palette if entry.name == options.class_name)
        with client.paint(model.name, label_map, seed=options.seed, image_format="raw") as session:
            reader = threading.Thread(target=lambda: _read(session, frames))
            reader.start()
            sent = _paint(session, hair, label_map.shape, options.strokes, 1 / options.rate)
            session.finish()
            reader.join()

    images = [frame.image.to_pil().resize((TILE, TILE), Image.Resampling.BICUBIC) for _, frame in frames]
    images[0].save(
        options.output, save_all=True, append_images=images[1:], duration=FRAME_MILLISECONDS, loop=0
    )
    for arrived, frame in frames[1:]:
        late = (arrived - sent[frame.sequence]) * 1e3
        print(f"stroke {frame.sequence:3}: {late:6.1f} ms after it, {frame.dropped_frames} passed over")
    print(f"{len(sent)} strokes, {len(frames)} frames: {options.output.resolve()}")


def _paint(
    session: PaintSession, class_id: int, shape: tuple[int, ...], strokes: int, pause: float
) -> dict[int, float]:
    """Draw a crown of hair from the left to the right; the times at which each stroke was sent."""
    height, width = shape
    angles = np.linspace(np.pi, 2 * np.pi, strokes + 1)
    rim = np.stack([width * (0.5 + 0.36 * np.cos(angles)), height * (0.45 + 0.36 * np.sin(angles))], axis=1)
    sent: dict[int, float] = {}
    for first, last in pairwise(rim):
        now = time.perf_counter()
        sent[session.stroke(class_id, [first, last], width=width / 8)] = now
        time.sleep(pause)
    return sent


def _read(session: PaintSession, frames: list[tuple[float, Frame]]) -> None:
    for frame in session:
        frames.append((time.perf_counter(), frame))  # noqa: PERF401 - the time is that of each


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--address", default=os.environ.get("MASKWEAVE_ADDRESS", "localhost:50051"))
    parser.add_argument("--model", default="faces64")
    parser.add_argument("--class-name", default="hair", help="name of the class to paint")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--strokes", type=int, default=24)
    parser.add_argument("--rate", type=float, default=30, help="strokes a second")
    parser.add_argument("--output", type=Path, default=Path("paint.gif"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
