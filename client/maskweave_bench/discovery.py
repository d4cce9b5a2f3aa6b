"""What the targets say of their models, before anything is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import grpc.aio

from maskweave.v1 import synthesis_pb2 as pb
from maskweave.v1 import synthesis_pb2_grpc as pb_grpc
from maskweave_bench.calls import ConnectError, code_of
from maskweave_bench.target import Target

_TIMEOUT_SECONDS = 15.0
_MOST_PAGES = 100


def list_models(targets: Sequence[Target]) -> list[dict[str, pb.Model]]:
    """The models of each target by name, as the first of its addresses tells.

    Raises:
        ConnectError: A target does not answer, or refuses.
    """

    async def every() -> list[dict[str, pb.Model]]:
        return [await _models(target) for target in targets]

    return asyncio.run(every())


async def _models(target: Target) -> dict[str, pb.Model]:
    channels = target.channels()
    found: dict[str, pb.Model] = {}
    try:
        stub: pb_grpc.SynthesisServiceAsyncStub = pb_grpc.SynthesisServiceStub(channels[0])  # type: ignore[assignment]
        token = ""
        for _ in range(_MOST_PAGES):
            reply = await stub.ListModels(
                pb.ListModelsRequest(page_token=token), timeout=_TIMEOUT_SECONDS, metadata=target.metadata()
            )
            found.update({model.name: model for model in reply.models})
            token = reply.next_page_token
            if not token:
                break
    except grpc.aio.AioRpcError as error:
        raise ConnectError(
            f"{target.name}: {target.addresses[0]} does not list its models: "
            f"{code_of(error)}: {error.details()}"
        ) from error
    finally:
        for channel in channels:
            await channel.close()
    return found
