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
"""Input, float32 `[1]`: weight of the start's style against the condition. Of the method SIS-UG."""

GIVEN_STYLES = "GIVEN_STYLES"
"""Input, float32 `[styles, style_size]`: the code of each style that is given. Of the method GroupDNet."""

STYLE_GIVEN = "STYLE_GIVEN"
"""Input, uint8 `[styles]`: 1 where the style is given, 0 where the latent decides. Of GroupDNet, too."""

IMAGE = "IMAGE"
"""Output, uint8 `[height, width, 3]`: RGB."""

PICTURE = "PICTURE"
"""Input of a style encoder, uint8 `[height, width, 3]`: RGB. Its other input is `LABEL_MAP`."""

STYLE_MEAN = "STYLE_MEAN"
"""Output of a style encoder, float32 `[styles, style_size]`."""

STYLE_LOG_VARIANCE = "STYLE_LOG_VARIANCE"
"""Output of a style encoder, float32 `[styles, style_size]`: natural logarithms."""

JOINT_STYLES = "JOINT_STYLES"
"""Output of a style prior, float32 `[styles, style_size]`: styles that go together. Its input is `LATENT`."""

SINGLE_STYLES = "SINGLE_STYLES"
"""Output of a style prior, float32 `[styles, style_size]`: each style drawn by itself."""
