"""A service for the client's tests: it answers anything, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fake_service import FakeService, serving


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def address(service: FakeService) -> Iterator[str]:
    with serving(service) as served:
        yield served
