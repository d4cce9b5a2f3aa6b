"""Client of the Maskweave service: a label map, a sketch or a scribble goes in, images come out.

```python
from maskweave_client import Client

with Client("localhost:50051") as client:
    result = client.synthesize("faces64", label_map, seed=7)  # a 2-D uint8 array, an image or PNG bytes
    result.images[0].save("face.png")
```

`Client.paint` opens a canvas for strokes, with images of it as it changes. `AsyncClient` has the same
methods as coroutines. Every failure of a call is a `MaskweaveError`.
"""

from maskweave_client._async._client import AsyncClient
from maskweave_client._async._paint import AsyncPaintSession
from maskweave_client._conditions import ProxyMask, Scribble, Sketch
from maskweave_client._errors import (
    Cancelled,
    DeadlineExceeded,
    FieldViolation,
    InvalidRequest,
    MaskweaveError,
    NotFound,
    Overloaded,
    PermissionDenied,
    ServiceFailure,
    Unauthenticated,
    Unavailable,
)
from maskweave_client._files import File
from maskweave_client._generated_image import DigitalSourceType, GeneratedImage
from maskweave_client._models import (
    Condition,
    EditSupport,
    Limits,
    Model,
    ReadingSupport,
    StyleStrength,
    StyleSupport,
)
from maskweave_client._paint_requests import PaintedEdit
from maskweave_client._palette import Palette, PaletteEntry
from maskweave_client._requests import ImageFormat, LabelMap, Priority
from maskweave_client._results import (
    CanvasProblem,
    Frame,
    LabelMapReading,
    MorphFrame,
    Result,
    StageTiming,
    StreamedImage,
    Timings,
)
from maskweave_client._retry import Retry
from maskweave_client._strokes import Stroke
from maskweave_client._style_requests import MorphPath, SourceImage
from maskweave_client._styles import Blend, Seed, Style, StyleCode, blend
from maskweave_client._sync._client import Client
from maskweave_client._sync._paint import PaintSession

__all__ = [
    "AsyncClient",
    "AsyncPaintSession",
    "Blend",
    "Cancelled",
    "CanvasProblem",
    "Client",
    "Condition",
    "DeadlineExceeded",
    "DigitalSourceType",
    "EditSupport",
    "FieldViolation",
    "File",
    "Frame",
    "GeneratedImage",
    "ImageFormat",
    "InvalidRequest",
    "LabelMap",
    "LabelMapReading",
    "Limits",
    "MaskweaveError",
    "Model",
    "MorphFrame",
    "MorphPath",
    "NotFound",
    "Overloaded",
    "PaintSession",
    "PaintedEdit",
    "Palette",
    "PaletteEntry",
    "PermissionDenied",
    "Priority",
    "ProxyMask",
    "ReadingSupport",
    "Result",
    "Retry",
    "Scribble",
    "Seed",
    "ServiceFailure",
    "Sketch",
    "SourceImage",
    "StageTiming",
    "StreamedImage",
    "Stroke",
    "Style",
    "StyleCode",
    "StyleStrength",
    "StyleSupport",
    "Timings",
    "Unauthenticated",
    "Unavailable",
    "blend",
]
