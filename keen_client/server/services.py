"""What the areas of the API share: the project, the store, the faults, the clock, and where work may block."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

import anyio
import anyio.to_thread
import attrs

from keen_client._foundation.clock import MS_PER_SECOND, Clock
from keen_client.server.geography import Geography
from keen_client.server.keyring import Keyring
from keen_client.server.misbehaviour import FaultEngine
from keen_client.server.project import Project
from keen_client.server.rate_limit import RateLimits
from keen_client.server.store import Store

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


@attrs.frozen(eq=False)
class Services:
    """One per application. Every area is made with it."""

    project: Project
    keyring: Keyring
    store: Store
    faults: FaultEngine
    clock: Clock
    rates: RateLimits = attrs.field(factory=lambda: RateLimits({}), kw_only=True)
    geography: Geography | None = None

    async def in_thread(
        self, work: Callable[[Unpack[_Arguments]], _Result], *arguments: *_Arguments
    ) -> _Result:
        """The result of *work*, which may take its time: other requests are answered meanwhile."""
        return await anyio.to_thread.run_sync(work, *arguments)

    async def pause(self, milliseconds: int) -> None:
        """Let *milliseconds* go by, for this request only."""
        await anyio.sleep(milliseconds / MS_PER_SECOND)
