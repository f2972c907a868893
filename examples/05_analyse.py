"""From events to tables: an analysis as a data frame, and all events of a month as a Parquet file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from keen_client import KeenClient
from keen_client.queries import Analysis
from keen_client.results import event_file
from keen_client.server import LocalServer

START = datetime(2026, 10, 1, tzinfo=UTC)
MONTH = {"start": "2026-10-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"}
EVENTS = 2_000


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
            background=False,
        ) as keen,
    ):
        keen.add_events(
            {
                "purchases": [
                    {
                        "item": ("book", "pen", "lamp")[n % 3],
                        "price_cents": 100 + 7 * n % 900,
                        "keen": {"timestamp": START + timedelta(minutes=20 * n)},
                    }
                    for n in range(EVENTS)
                ]
            }
        )
        keen.flush(timeout=30)

        weekly = keen.run(
            Analysis(
                analysis_type="sum",
                event_collection="purchases",
                target_property="price_cents",
                timeframe=MONTH,
                interval="weekly",
                group_by="item",
            )
        )
        frame = weekly.to_pandas()
        print(frame.pivot(index="timeframe.start", columns="item", values="result"))

        file = Path(place) / "purchases.parquet"
        with event_file(file, ["keen.timestamp", "item", "price_cents"]) as written:
            for event in keen.extract("purchases", MONTH, page_events=500):
                written.write(event)
        print(f"{written.events} events in {file.name}, {file.stat().st_size} bytes")
        assert written.events == EVENTS


if __name__ == "__main__":
    main()
