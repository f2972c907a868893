"""The async twin: the same names, awaited. The event loop never waits on the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from keen_client import AsyncKeenClient
from keen_client.server import LocalServer


async def main() -> None:
    with TemporaryDirectory() as place, LocalServer() as server:
        async with AsyncKeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            base_url=server.url,
            log=Path(place) / "log",
        ) as keen:
            receipts = await asyncio.gather(
                *(keen.add_event("page_views", {"path": f"/{n}", "ms": n}) for n in range(100))
            )
            print(f"{len({receipt.id for receipt in receipts})} receipts, each of them on disk")
            report = await keen.flush(timeout=10)
            print(f"acknowledged {report.acknowledged}")
            slowest = await keen.maximum("page_views", "ms", timeframe="this_2_hours")
            print(f"slowest page: {slowest} ms")


if __name__ == "__main__":
    asyncio.run(main())
