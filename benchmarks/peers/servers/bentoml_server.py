"""BentoML: a worker process a core.

https://docs.bentoml.com/
"""

from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from pipeline import Pipeline, workers

Png = Annotated[Path, ContentType("image/png")]


@bentoml.service(workers=workers(), traffic={"timeout": 30})
class Draw:
    def __init__(self) -> None:
        self.pipeline = Pipeline()

    @bentoml.api(route="/image")
    def image(self, label_map: Png, seed: int) -> Annotated[bytes, ContentType("image/png")]:
        return self.pipeline.image(label_map.read_bytes(), seed)
