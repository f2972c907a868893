"""``keen-client serve``: a Keen server on this machine, which can misbehave on command."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from keen_client.cli import exit_codes
from keen_client.cli.options import json_option
from keen_client.cli.output import json_line, note

if TYPE_CHECKING:
    from keen_client.server.running import LocalServer


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep events, tokens and keys there. Without, all is in memory.",
)
@click.option(
    "--fault",
    "faults",
    metavar="NAME=VALUE",
    multiple=True,
    help="Misbehave, such as lose=0.02 or delay=0.05:2h; may be given more than once.",
)
@click.option("--seed", type=int, help="Make the faults' decisions repeatable.")
@click.option(
    "--geo-database",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of MaxMind's format, in which the add-on keen:ip_to_geo looks addresses up.",
)
@click.option(
    "--rate-limits",
    is_flag=True,
    help="Refuse with 429 what the platform refuses, such as more than 200 queries a minute.",
)
@click.option(
    "--tls-cert",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Speak HTTPS, with this certificate (PEM); needs --tls-key.",
)
@click.option(
    "--tls-key",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The certificate's private key (PEM, without a passphrase).",
)
@json_option
def serve(
    host: str,
    port: int,
    data: Path | None,
    faults: tuple[str, ...],
    seed: int | None,
    geo_database: Path | None,
    rate_limits: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    as_json: bool,
) -> None:
    """Serve Keen's API on this machine until Ctrl-C or SIGTERM.

    Project id and keys are those of the environment (KEEN_PROJECT_ID,
    KEEN_WRITE_KEY, KEEN_READ_KEY, KEEN_MASTER_KEY) where set, else made up.
    With --json one line with the address and the keys is printed when the
    server answers; without it, lines to paste into a shell.

    POST /_control/faults, /_control/release and /_control/resurrect (master key)
    change faults and undo delays and vanishings while it runs.

    \b
    Faults of what is stored, each P a probability for each event:
      lose=P               say success and store nothing; a resend lands
      lose-keep-token=P    the same, and drop the resend too
      duplicate=P          store a second copy
      null-properties=P    store it with every property null
      null-timestamp=P     store it without its timestamp
      reject=P             refuse it for good
      delay=P:DURATION     show it only after up to so long
      vanish=P:DURATION    show it at first, and no longer after so long
      shift=P:DURATION     move its timestamp
      forget=START/END     lose what is stored of that time, once
      tokens=MODE          repeated tokens: edge drops them silently, visible
                           names them as duplicates, off ignores them

    \b
    Faults of requests, each P a probability for each request:
      cut-after-store=P    store its events, drop the line before the answer
      http-500=P           answer with 500 and store nothing
      html-502=P           answer with a proxy's page and store nothing
      slow=DURATION        hold every answer back
      rate-limit=N         answer 429 for a minute after N queries a minute

    \b
    Faults of queries, each P a probability for each answer:
      partial-reads=P      miss each event with this probability
      stale-reads=DURATION see the state of so long ago
      lie-count=P          have one count off by one
      lie-sum=P            have one sum off by up to 1,000
      missing-interval=P   lack one sub-timeframe
      reordered-rows=P     have the rows in any order
      strings=P            have numbers as strings
      truncated=P          be cut off
      shuffled-sums=P      add up sums as doubles in any order
      digits=N             print numbers of aggregates with N digits
      scan-cap=N           refuse a query over more than N events
      group-cap=N          refuse a query with more than N groups
    """  # noqa: D301 — click keeps the lines of a paragraph that begins with this very character
    from keen_client.errors import UsageError
    from keen_client.server.exposure import Certificate
    from keen_client.server.faults import parse_faults
    from keen_client.server.geography import Geography
    from keen_client.server.running import serve_forever

    try:
        parse_faults(faults)
        if geo_database is not None:
            Geography(geo_database)
        if tls_cert is not None or tls_key is not None:
            Certificate.load(tls_cert, tls_key)
    except ValueError as error:
        raise UsageError(f"{error}; nothing was started", "see `keen-client serve --help`") from error
    # DuckDB makes its files as the umask lets; they hold what only the owner may read.
    os.umask(0o077)
    if data is not None:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)

    def ready(server: LocalServer) -> None:
        _announce(server, as_json=as_json)

    # The server stops cleanly at either signal and then raises it again: then we are done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    serve_forever(
        ready,
        host=host,
        port=port,
        directory=data,
        faults=faults,
        seed=seed,
        geo_database=geo_database,
        rate_limits=rate_limits,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(exit_codes.OK)


def _announce(server: LocalServer, *, as_json: bool) -> None:
    document = server.ready_document()
    if as_json:
        click.echo(json_line(document), nl=False)
        return
    variables = {
        "KEEN_BASE_URL": document["url"],
        "KEEN_PROJECT_ID": document["project_id"],
        "KEEN_WRITE_KEY": document["write_key"],
        "KEEN_READ_KEY": document["read_key"],
        "KEEN_MASTER_KEY": document["master_key"],
    }
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(str(value))}")
    note(f"serving {document['url']}: a browser shows there what is in it; stop with Ctrl-C")
