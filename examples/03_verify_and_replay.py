"""Three nights in a second: a server loses events, and they are found, resent and confirmed.

The preset `standard` waits a day before it believes what it sees, and looks
twice before it resends. So that nobody has to wait, client and server share a
clock that this program turns.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from keen_client import KeenClient
from keen_client.client.wiring import Seams
from keen_client.server import LocalServer
from keen_client.testing.clocks import VirtualClock

HOUR = 3600.0
START = datetime(2026, 10, 1, 9, tzinfo=UTC)
END = START + timedelta(hours=1)


def main() -> None:
    clock = VirtualClock(int(START.timestamp() * 1000))
    with (
        TemporaryDirectory() as place,
        LocalServer(faults=["lose=0.2"], seed=7, clock=clock) as server,
        KeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            base_url=server.url,
            log=Path(place) / "log",
            background=False,
            seams=Seams(clock=clock),
        ) as keen,
    ):
        keen.add_events({"purchases": [{"order": n, "price_cents": 100 * n} for n in range(50)]})
        report = keen.flush(timeout=10)
        print(f"the server said success {report.acknowledged} times and lost some all the same")

        clock.advance(26 * HOUR)
        (window,) = keen.verify(START, END).windows
        print(f"first night:  {window.state}, {len(window.missing)} missing; too early to resend")

        clock.advance(24 * HOUR)
        replay = keen.replay(START, END, yes=True)
        print(f"second night: {len(replay.replayed)} of {len(replay.planned)} resent in run {replay.run}")

        clock.advance(26 * HOUR)
        (window,) = keen.verify(START, END).windows
        print(f"third night:  {window.state}, {window.server_count} of {window.local_count} events")
        assert (window.state, window.missing, window.duplicate) == ("match", (), ())


if __name__ == "__main__":
    main()
