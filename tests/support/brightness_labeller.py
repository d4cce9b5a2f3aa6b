"""A labeller program in place of the face labeller: classes by brightness, no face in dark images."""

import sys

import numpy as np

CLASSES = 8
DARKEST_FACE = 40

images = np.load(sys.argv[1])
labels = (images.mean(-1) * CLASSES / 256).astype(np.uint8)
np.savez(sys.argv[2], labels=labels, detected=images.mean((1, 2, 3)) > DARKEST_FACE)
