"""Names, types and shapes of the tensors through which a condition becomes a picture.

Every ensemble that serves a pack has these; `export/` writes them, the repository declares them, and
only this layer reads them.
"""

from __future__ import annotations

LABEL_MAP = "LABEL_MAP"
"""Input, uint8 `[height, width]`: class ids."""

LATENT = "LATENT"
"""Input, float32 `[latent_size]`: the generator's random input, already scaled."""

STYLE_STRENGTH = "STYLE_STRENGTH"
"""Input, float32 `[1]`: weight of the start's style against the condition."""

IMAGE = "IMAGE"
"""Output, uint8 `[height, width, 3]`: RGB."""
