"""What the tests of gateways on Triton share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from tests.support.gateway_process import GatewayProcess, gateway_process
from tests.support.triton_process import TritonProcess

ROOT = Path(__file__).parents[3]


def triton_backed(*tritons: TritonProcess, **settings: object) -> AbstractContextManager[GatewayProcess]:
    """A gateway on these Tritons."""
    urls = ",".join(each.url for each in tritons)
    return gateway_process(Path("/nonexistent"), engine="triton", triton_url=urls, **settings)
