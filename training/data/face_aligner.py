"""Cuts faces out of photographs as the generator of faces64 places them: eyes, nose and mouth where its are.

Runs in the labelling tool's environment (`make labels-env`), like `face_labeller`, and for the same reasons:

    python -m training.data.face_aligner --output FOLDER IMAGE...

writes `NAME.png` of 64 x 64 pixels for each image's face, or `NAME_1.png`, `NAME_2.png`, ... from left to
right where several are found. Inverter and rearranger know faces in this place alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.python.solutions import face_mesh_connections as mesh

from training.data.face_labeller import FACE_CONFIDENCE

SIZE = 64
OVERSAMPLING = 8  # a photograph is cut out larger and averaged down, so that nothing is skipped
MAX_FACES = 16
NOSE_TIP, MOUTH_CORNERS = 1, (61, 291)
PLACES = np.array([(0.351, 0.472), (0.649, 0.472), (0.5, 0.685), (0.375, 0.813), (0.625, 0.813)])
"""Of right and left eye, tip of the nose and corners of the mouth, as shares of width and height: means over
200 held-out samples of the generator, left and right averaged."""


def landmarks(image: np.ndarray) -> list[np.ndarray]:
    """The five places in pixels, float `[5, 2]`, of every face of an image, from left to right.

    Args:
        image: uint8 `[H, W, 3]`, RGB.
    """
    height, width = image.shape[:2]
    with mp.solutions.face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=MAX_FACES, min_detection_confidence=FACE_CONFIDENCE
    ) as found:
        faces = found.process(image).multi_face_landmarks or []
    places = []
    for face in faces:
        points = np.array([(mark.x * width, mark.y * height) for mark in face.landmark])
        eyes = [
            points[sorted({vertex for edge in connections for vertex in edge})].mean(0)
            for connections in (mesh.FACEMESH_RIGHT_EYE, mesh.FACEMESH_LEFT_EYE)
        ]
        places.append(np.stack([*eyes, points[NOSE_TIP], *points[list(MOUTH_CORNERS)]]))
    return sorted(places, key=lambda each: float(each[:, 0].mean()))


def cut_out(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The face with these places, turned, scaled and moved to `PLACES`: uint8 `[64, 64, 3]`."""
    side = SIZE * OVERSAMPLING
    turned = cv2.warpAffine(
        image,
        similarity(places, PLACES * side),
        (side, side),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    face: np.ndarray = cv2.resize(turned, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return face


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The turn, scale and shift that brings points `[N, 2]` nearest to targets `[N, 2]`: `[2, 3]`."""
    one, zero = np.ones(len(points)), np.zeros(len(points))
    x, y = points.T
    rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    a, b, right, down = np.linalg.lstsq(rows, targets.T.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, right], [b, a, down]])


def main() -> int:
    """Align the faces of image files."""
    parser = argparse.ArgumentParser(description="Cut faces out as the generator of faces64 places them.")
    parser.add_argument("images", type=Path, nargs="+", help="PNG or JPEG")
    parser.add_argument("--output", type=Path, required=True, help="folder to write PNGs into")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for path in given.images:
        pixels = cv2.imread(str(path))
        if pixels is None:
            parser.error(f"{path}: expected an image file that can be read")
        faces = landmarks(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
        for number, places in enumerate(faces, start=1):
            name = path.stem if len(faces) == 1 else f"{path.stem}_{number}"
            cv2.imwrite(str(given.output / f"{name}.png"), cut_out(pixels, places))
        print(f"{path}: {len(faces)} faces")
    return 0


if __name__ == "__main__":
    sys.exit(main())
