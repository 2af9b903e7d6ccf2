from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from services import Cluster

from weft.client import AsyncClient, Client
from weft.func._hosting import leave_background


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Both services, for tests that leave them running."""
    cluster = Cluster(tmp_path_factory.mktemp("weft")).start()
    yield cluster
    leave_background()
    cluster.stop()


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Both services, for a test that ends and restarts them."""
    cluster = Cluster(tmp_path).start()
    yield cluster
    cluster.stop()


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(**cluster.addresses) as client:
        yield client


@pytest.fixture
async def asynchronous(cluster: Cluster) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(**cluster.addresses) as client:
        yield client


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return uuid.uuid4().hex
