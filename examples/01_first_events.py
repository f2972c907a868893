"""Record, send, ask: the first minute with the client, against a server of its own.

Run it: python examples/01_first_events.py
Against a real project set KEEN_PROJECT_ID, KEEN_WRITE_KEY and KEEN_READ_KEY and
leave out everything that the local server is for.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from keen_client import InvalidEventError, KeenClient
from keen_client.server import LocalServer


def main() -> None:
    with (
        TemporaryDirectory() as place,
        LocalServer() as server,
        KeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            base_url=server.url,
            log=Path(place) / "log",
        ) as keen,
    ):
        receipt = keen.add_event("purchases", {"item": "book", "price_cents": 1299})
        print(f"on disk as {receipt.id}, keen.timestamp {receipt.timestamp:%Y-%m-%dT%H:%M:%SZ}")

        keen.add_events({"purchases": [{"item": "pen", "price_cents": 250}] * 3})
        try:
            keen.add_event("purchases", {"price.cents": 1299})
        except InvalidEventError as error:
            print(f"refused: {error}")

        report = keen.flush(timeout=10)
        print(f"acknowledged {report.acknowledged}, left in the log {report.pending + report.unknown}")
        print("revenue:", keen.sum("purchases", "price_cents", timeframe="this_2_hours"))


if __name__ == "__main__":
    main()
