"""``keen-client demo``: a server that loses events, and a night that finds and replaces every one of them."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from keen_client.cli.options import json_option
from keen_client.cli.output import emit, note, say
from keen_client.cli.progress import progress_bars

if TYPE_CHECKING:
    from keen_client.cli.demo_run import DemoResult

_EVENTS_MAX = 10_000_000


@click.command()
@click.option(
    "--events",
    metavar="N",
    type=click.IntRange(1, _EVENTS_MAX),
    default=10_000,
    show_default=True,
    help="How many events to record.",
)
@click.option(
    "--fault",
    "faults",
    metavar="NAME=VALUE",
    multiple=True,
    help="What the server does wrong, as for serve; may be given more than once. Default: lose=0.02 delay=0.05:2s.",
)
@click.option("--seed", type=int, help="Seed of the server's faults.")
@click.option(
    "--keep",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the log and the server's data there. Without, they are removed at the end.",
)
@json_option
def demo(events: int, faults: tuple[str, ...], seed: int | None, keep: Path | None, as_json: bool) -> int:
    """Show it all on this machine: record, lose, verify, replay, verify again.

    Starts a local server that loses 2 % of the events, delays 5 % of them and
    once drops the line after storing; records real departures from New York;
    finds exactly what was lost, resends it, and proves that every event is
    there once. Needs no account.

    Exit status: 0 when at the end everything matches; otherwise as of verify.
    """
    from keen_client.cli.demo_run import Demo
    from keen_client.client.settings import read_settings
    from keen_client.errors import ConfigurationError, UsageError

    if read_settings({"project_id": "demo"}).is_disabled:
        raise ConfigurationError(
            "KEEN_DISABLED switches recording off; nothing was recorded", "unset it for the demo"
        )
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise UsageError(f"{keep} is not empty; nothing was recorded", "name a new directory")
    _go_past_proxies()
    signal.signal(signal.SIGTERM, _end)
    with _place(keep) as place, progress_bars() as show:
        scenario = Demo(
            place, events=events, faults=faults, seed=seed, keeps_data=keep is not None, tell=note, show=show
        )
        result = scenario.run()
    if as_json:
        emit(result.document())
    else:
        _tell(result, scenario.settle_ms, keep)
    return result.exit_status()


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="keen-demo-") as name:
            yield Path(name)
    else:
        (keep / "server").mkdir(mode=0o700, parents=True, exist_ok=True)
        yield keep


def _go_past_proxies() -> None:
    """A proxy of the environment is not the way to this machine."""
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))


def _end(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM unwinds: the server is stopped and the directory removed."""
    raise SystemExit(128 + signal.SIGTERM)


def _tell(result: DemoResult, settle_ms: int, keep: Path | None) -> None:
    from keen_client.cli.proof import can_draw, show_lines
    from keen_client.report.look import Look
    from keen_client.report.run import plan_lines
    from keen_client.report.terminal import verification_lines

    look = Look(
        ascii_only=not can_draw(),
        days_max=14,
        windows_max=3,
        list_max=9,
        settle_ms=settle_ms,
        has_hints=keep is not None,
    )
    night = result.night
    show_lines(verification_lines(night.before, "BEFORE the replay", look))
    say()
    show_lines(plan_lines(night.replay.document()))
    say()
    show_lines(verification_lines(night.after, "AFTER the replay", look))
    told = result.document()
    say()
    say(f"recorded {told['recorded']:,}, acknowledged {told['acknowledged']:,} by the server, which then")
    say(
        f"lost {told['lost_by_server']:,} of them in silence. Verification found {told['missing_found']:,} missing in"
    )
    say(
        f"{told['windows_short']:,} of {told['windows']:,} windows, and the replay resent {told['replayed']:,}. "
        f"Now {told['missing_after']:,} are missing"
    )
    say(
        f"and {told['duplicates_after']:,} are there twice. Both verifications: {told['verify_requests']:,} requests,"
        f" {told['verify_bytes']:,} bytes."
    )
    if keep is not None:
        say(f"look at the log with: keen-client status --log {keep / 'log'}")
