"""`config.pbtxt` as text: how it is read and written, whoever changes it."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

CONFIG = "config.pbtxt"
HEADER = "# Written by `maskweave export`; change the exporter, not this file.\n"


def rendered(config: triton.ModelConfig) -> str:
    """A configuration as text, with the line that says who wrote it."""
    return HEADER + text_format.MessageToString(config)


def read_config_file(file: Path) -> triton.ModelConfig:
    """Parse a configuration.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is no ModelConfig in protobuf text format; names file and line.
    """
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), triton.ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(f"{file}: {error}; allowed: a ModelConfig in protobuf text format") from None
