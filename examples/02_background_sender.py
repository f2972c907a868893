"""Record here, send from another process: for forking servers, short functions, batch jobs.

The recording process never touches the network. Here the sender is a process
that ends when nothing is left; in production it is `keen-client send --follow`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from keen_client import KeenClient
from keen_client.server import LocalServer


def main() -> None:
    with TemporaryDirectory() as place, LocalServer() as server:
        log = Path(place) / "log"
        with KeenClient(server.project_id, base_url=server.url, log=log, background=False) as keen:
            for number in range(200):
                keen.add_event("steps", {"number": number})
            print(f"recorded {keen.log.backlog().pending} events; nothing was sent, no key was needed")

        sender = subprocess.run(
            [sys.executable, "-m", "keen_client", "send", "--timeout", "30"],
            env={
                **os.environ,
                "KEEN_PROJECT_ID": server.project_id,
                "KEEN_WRITE_KEY": server.write_key,
                "KEEN_BASE_URL": server.url,
                "KEEN_LOG": str(log),
            },
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        print(f"the sender says: {sender.stdout.strip()}")


if __name__ == "__main__":
    main()
