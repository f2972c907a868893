"""``python -m keen_client``: the command line."""

from __future__ import annotations

from keen_client.cli.app import main

if __name__ == "__main__":
    main()
