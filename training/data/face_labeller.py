"""Label maps of face images from mediapipe's bundled models, as a command-line filter.

Runs in an environment of its own (`make labels-env`): mediapipe 0.10.14 wants NumPy 1 and an old protobuf. It
therefore imports nothing of the rest of the package and talks through files:

    python -m training.data.face_labeller images.npy labels.npz

reads uint8 images `[N, H, W, 3]` (RGB) and writes `labels`, uint8 `[N, H, W]`, and `detected`, bool `[N]`
(false where no face was found; such a label map is all background). Class ids are those of the faces64
palette.

How an image is labelled: it is enlarged to 256 px and padded by replication, so that faces cut by the border
are still found; the face mesh gives the polygons of face oval, brows, eyes, nose and lips; the selfie
segmentation gives the person. What of the person lies outside the face is hair or headwear above the line
half-way between lower lip and chin, and neck or clothes below it. The polygons are read off at the centres of
the image's own pixels.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import sys
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.python.solutions import face_mesh_connections as mesh
from tqdm import tqdm

BACKGROUND, HAIR, SKIN, BROWS, EYES, NOSE, MOUTH, NECK = range(8)

WORKING_SIZE = 256
PADDING = 64
FACE_CONFIDENCE = 0.3
PERSON_THRESHOLD = 0.5
LOWER_LIP, CHIN = 17, 152  # landmarks of the face mesh


def _vertices(connections: frozenset[tuple[int, int]]) -> list[int]:
    return sorted({vertex for edge in connections for vertex in edge})


# Painted in this order: later parts cover earlier ones.
FACE_PARTS = (
    (SKIN, _vertices(mesh.FACEMESH_FACE_OVAL)),
    (BROWS, _vertices(mesh.FACEMESH_LEFT_EYEBROW)),
    (BROWS, _vertices(mesh.FACEMESH_RIGHT_EYEBROW)),
    (EYES, _vertices(mesh.FACEMESH_LEFT_EYE)),
    (EYES, _vertices(mesh.FACEMESH_RIGHT_EYE)),
    (NOSE, _vertices(mesh.FACEMESH_NOSE)),
    (MOUTH, _vertices(mesh.FACEMESH_LIPS)),
)


class FaceLabeller:
    """Labels one image at a time; holds mediapipe's two models."""

    def __init__(self) -> None:
        self._face_mesh = mp.solutions.face_mesh.FaceMesh(
            static_image_mode=True, max_num_faces=1, min_detection_confidence=FACE_CONFIDENCE
        )
        self._person = mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, bool]:
        """Label one image.

        Args:
            image: uint8 `[H, W, 3]`, RGB.

        Returns:
            The label map, uint8 `[H, W]`, and whether a face was found.
        """
        height, width = image.shape[:2]
        large = cv2.resize(image, (WORKING_SIZE, WORKING_SIZE), interpolation=cv2.INTER_CUBIC)
        padded = cv2.copyMakeBorder(large, PADDING, PADDING, PADDING, PADDING, cv2.BORDER_REPLICATE)
        faces = self._face_mesh.process(padded).multi_face_landmarks
        if not faces:
            return np.full((height, width), BACKGROUND, np.uint8), False
        side = WORKING_SIZE + 2 * PADDING
        points = np.array([(mark.x * side, mark.y * side) for mark in faces[0].landmark], np.float32)
        person = self._person.process(padded).segmentation_mask > PERSON_THRESHOLD

        canvas = np.full((side, side), BACKGROUND, np.uint8)
        neck_line = int((points[LOWER_LIP, 1] + points[CHIN, 1]) / 2)
        above = np.arange(side)[:, None] < neck_line
        canvas[person & above] = HAIR
        canvas[person & ~above] = NECK
        for class_id, vertices in FACE_PARTS:
            hull = cv2.convexHull(points[vertices]).round().astype(np.int32)
            cv2.fillConvexPoly(canvas, hull, class_id)
        labels = canvas[PADDING:-PADDING, PADDING:-PADDING]
        rows = ((np.arange(height) + 0.5) * WORKING_SIZE / height).astype(int)
        columns = ((np.arange(width) + 0.5) * WORKING_SIZE / width).astype(int)
        return labels[np.ix_(rows, columns)], True


@functools.cache
def _labeller() -> FaceLabeller:
    """One per worker process: the models cost a second to load."""
    return FaceLabeller()


def _label_one(image: np.ndarray) -> tuple[np.ndarray, bool]:
    return _labeller()(image)


def label_images(images: np.ndarray, processes: int) -> tuple[np.ndarray, np.ndarray]:
    """Label uint8 images `[N, H, W, 3]`; returns uint8 `[N, H, W]` and bool `[N]`."""
    with multiprocessing.Pool(processes) as pool:
        labelled = list(
            tqdm(
                pool.imap(_label_one, images, chunksize=16),
                total=len(images),
                desc="label",
                unit="image",
            )
        )
    return np.stack([labels for labels, _ in labelled]), np.array([detected for _, detected in labelled])


def main() -> int:
    """Label a file of images."""
    parser = argparse.ArgumentParser(description="Label face images with mediapipe.")
    parser.add_argument("images", type=Path, help=".npy of uint8 images [N, H, W, 3]")
    parser.add_argument("labels", type=Path, help=".npz to write: labels [N, H, W] and detected [N]")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    images = np.load(arguments.images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        parser.error(f"{arguments.images}: expected uint8 [N, H, W, 3], found {images.dtype} {images.shape}")
    labels, detected = label_images(images, arguments.processes)
    np.savez_compressed(arguments.labels, labels=labels, detected=detected)
    return 0


if __name__ == "__main__":
    sys.exit(main())
