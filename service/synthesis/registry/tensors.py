"""Names, types and shapes of the tensors through which a condition becomes an image.

Every ensemble that serves a pack has these; `export/` writes them, the repository declares them, and
only this layer reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from service.synthesis.registry.models import ConditionKind

LABEL_MAP = "LABEL_MAP"
"""Input, uint8 `[height, width]`: class ids."""

SKETCH = "SKETCH"
"""Input, uint8 `[height, width]`: ink, 0 for none."""

SCRIBBLE = "SCRIBBLE"
"""Input, uint8 `[height, width]`: class ids, 255 where nothing is drawn."""

TARGET_PROXY_MASK = "TARGET_PROXY_MASK"
"""Input, uint8 `[height, width]` of the proxy masks: cluster ids."""

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
"""Input, uint8 `[height, width, 3]`: RGB. The exemplar; also of a style encoder, beside `LABEL_MAP`."""

CONDITIONS: Mapping[ConditionKind, tuple[str, str]] = MappingProxyType(
    {
        ConditionKind.LABEL_MAP: (LABEL_MAP, "[height, width]"),
        ConditionKind.SKETCH: (SKETCH, "[height, width]"),
        ConditionKind.SCRIBBLE: (SCRIBBLE, "[height, width]"),
        ConditionKind.PROXY_MASK: (TARGET_PROXY_MASK, "[height, width]"),
        ConditionKind.EXEMPLAR: (PICTURE, "[height, width, 3]"),
    }
)
"""The input that takes each kind of condition, and its dims."""

STYLE_MEAN = "STYLE_MEAN"
"""Output of a style encoder, float32 `[styles, style_size]`."""

STYLE_LOG_VARIANCE = "STYLE_LOG_VARIANCE"
"""Output of a style encoder, float32 `[styles, style_size]`: natural logarithms."""

JOINT_STYLES = "JOINT_STYLES"
"""Output of a style prior, float32 `[styles, style_size]`: styles that go together. Its input is `LATENT`."""

SINGLE_STYLES = "SINGLE_STYLES"
"""Output of a style prior, float32 `[styles, style_size]`: each style drawn by itself."""
