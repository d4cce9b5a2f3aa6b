"""The table of what the embedded engine makes of each field of `config.pbtxt`.

A field that is set and stands in neither set of its message is refused by name: a config must not
promise what the engine does not do. An ignored field changes how fast a GPU server is, never
what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

HONOURED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ModelConfig": frozenset(
            {
                "name",
                "platform",
                "backend",
                "version_policy",
                "max_batch_size",
                "input",
                "output",
                "ensemble_scheduling",
                "instance_group",
                "default_model_filename",
                "parameters",
                "model_warmup",
                "model_transaction_policy",
                "response_cache",
            }
        ),
        "ModelInput": frozenset({"name", "data_type", "dims"}),
        "ModelOutput": frozenset({"name", "data_type", "dims", "label_filename"}),
        "ModelInstanceGroup": frozenset({"name", "kind", "count"}),
        "Step": frozenset({"model_name", "model_version", "input_map", "output_map"}),
        "ModelEnsembling": frozenset({"step"}),
        "ModelTransactionPolicy": frozenset(),
    }
)
"""Fields the engine acts on, by the message they belong to."""

IGNORED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ModelConfig": {
            "dynamic_batching": "batching (and the queue priorities in it) buys nothing on a CPU",
            "optimization": "accelerators and CUDA options belong to a GPU server",
            "cc_model_filenames": "chooses a file by the GPU's compute capability",
            "metric_tags": "labels of Triton's own metrics",
            "model_metrics": "buckets of Triton's own metrics",
        },
        "ModelInput": {"format": "only tells a client how to lay out an image"},
        "ModelEnsembling": {
            "max_inflight_requests": "admission in the gateway bounds the requests in flight"
        },
    }
)
"""Fields that are accepted without effect, by message, each with the reason."""


def accepted_fields(message: str) -> frozenset[str]:
    """Names of the fields of a message that a config may set."""
    return HONOURED[message] | frozenset(IGNORED.get(message, ()))
