"""``keen-client doctor``: what is not as it should be, and the repair of what can safely be repaired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import attrs
import click

from keen_client.cli import exit_codes
from keen_client.cli.options import Connection, connection_options, json_option
from keen_client.cli.output import emit, note, say
from keen_client.errors import EventLogDamagedError, EventLogError, EventLogPermissionError

if TYPE_CHECKING:
    from keen_client.eventlog.directory import Binding, LogDirectory
    from keen_client.eventlog.finding import Finding

_MARKS: Final = {"ok": "ok       ", "repaired": "repaired ", "warning": "WARNING  ", "damage": "DAMAGE   "}
_BITS: Final = {"damage": exit_codes.DAMAGE, "warning": exit_codes.WARNINGS}


@click.command()
@click.option("--repair", is_flag=True, help="Repair first what can be repaired without a decision of yours.")
@click.option("--thorough", is_flag=True, help="Compare indexes with their tables too; takes longer.")
@click.option(
    "--probe",
    is_flag=False,
    flag_value="tokens",
    type=click.Choice(["tokens", "full"]),
    help="Learn whether the server honours uniqueness tokens: sends fifteen small events to the collection kc_probe."
    " --probe=full learns everything that verdicts rest on; it says what that costs, and asks.",
)
@click.option("--yes", is_flag=True, help="Make the full probe without asking.")
@connection_options
@json_option
def doctor(
    repair: bool, thorough: bool, probe: str | None, yes: bool, connection: Connection, as_json: bool
) -> int:
    """Examine the log: integrity, sizes, free space, clock, permissions, encryption, a stuck sender. Changes nothing by itself.

    Exit status: 0 all is well, 16 damage, 32 warnings. With --repair it counts
    what is left afterwards.
    """
    from keen_client._foundation.clock import SystemClock
    from keen_client._foundation.randomness import SystemRandomness
    from keen_client.cli.session import place_of
    from keen_client.eventlog.directory import LogDirectory
    from keen_client.eventlog.doctor import examine

    if probe == "full" and not yes:
        _ask_for_full_probe(as_json=as_json)
    place, binding, config = place_of(connection)
    directory, clock = LogDirectory(place), SystemClock()
    _check_binding(directory, binding)
    repaired: list[Finding] = []
    if repair:
        from keen_client.eventlog.repair import repair as repair_log

        repaired = repair_log(directory, config, clock, SystemRandomness(), binding=binding)
    findings = [*examine(directory, config, clock, thorough=thorough), *_encryption(directory, binding)]
    if probe:
        findings += [_probe(connection), *_read_key(connection)]
    if probe == "full":
        findings += _probe_fully(connection)
    if as_json:
        emit(
            {
                "log": str(place),
                "repairs": [attrs.asdict(finding) for finding in repaired],
                "findings": [attrs.asdict(finding) for finding in findings],
            }
        )
    else:
        _tell([*repaired, *findings])
    # What a repair could not do, the examination after it finds again, or it is told by the repair alone.
    return _status([*repaired, *findings])


def _check_binding(directory: LogDirectory, binding: Binding | None) -> None:
    """Refuse another project's log. What keeps it from being told whose it is, the examination tells."""
    try:
        if binding is not None and directory.exists():
            directory.check_binding(binding)
    except (EventLogPermissionError, EventLogDamagedError):
        return


def _encryption(directory: LogDirectory, binding: Binding | None) -> Iterator[Finding]:
    """Whether keys and events go to the server encrypted; nothing where it is not known which server that is."""
    from keen_client.eventlog.finding import Finding
    from keen_client.transport.base_url import is_loopback

    try:
        base_url = (binding or directory.binding()).base_url
    except EventLogError:  # no log, or a description that cannot be read: told by the examination
        return
    if base_url.startswith("https://"):
        yield Finding("ok", "encryption", "the server is asked over HTTPS")
    elif is_loopback(base_url):
        yield Finding("ok", "encryption", "the server is on this machine")
    else:
        yield Finding(
            "warning",
            "encryption",
            f"{base_url} is not encrypted: whoever listens on the way reads keys and events, and can forge answers",
            "use https://, or a network that is encrypted by other means",
        )


def _tell(findings: Iterable[Finding]) -> None:
    for finding in findings:
        say(f"{_MARKS[finding.level]} {finding.name:12} {finding.message}")
        if finding.hint and finding.level != "ok":
            say(f"{'':22} {finding.hint}")


def _status(findings: Iterable[Finding]) -> int:
    status = exit_codes.OK
    for finding in findings:
        status |= _BITS.get(finding.level, 0)
    return status


def _read_key(connection: Connection) -> Iterator[Finding]:
    """Whether the read key sees everything; said only where a master key, which can tell, is at hand and does tell."""
    from keen_client.cli.session import open_machinery
    from keen_client.errors import ApiError
    from keen_client.eventlog.finding import Finding
    from keen_client.verify.read_key import restricted_name

    with open_machinery(connection, needs_read_key=True) as machinery:
        settings = machinery.settings
        if settings.master_key is None or settings.read_key is None:
            return
        try:
            name = restricted_name(machinery.api.list_access_keys(), settings.read_key.reveal())
        except ApiError as error:
            yield Finding(
                "warning", "read_key", f"what the read key may see was not told: {error}", error.hint or ""
            )
            return
    if name is None:
        yield Finding("ok", "read_key", "the read key is restricted by no filter")
        return
    yield Finding(
        "warning",
        "read_key",
        f"the read key is the access key {name!r}, whose queries are filtered: what it hides looks lost, and is resent",
        "give the nightly job the project's own read key, or an access key without filters",
    )


def _probe(connection: Connection) -> Finding:
    """Send the pairs, or read those that were sent before; a server on this machine is asked thrice at most."""
    from keen_client.cli.session import open_machinery
    from keen_client.eventlog.finding import Finding
    from keen_client.transport.base_url import is_loopback
    from keen_client.verify.probe import PROBES_MAX, READY_AFTER_MS, TokenProbe

    with open_machinery(connection, needs_write_key=True, needs_read_key=True) as machinery:
        probe = TokenProbe(machinery.log.state, machinery.api, machinery.clock, machinery.randomness)
        is_near = is_loopback(machinery.settings.base_url)
        for _ in range(PROBES_MAX if is_near else 1):
            if not probe.is_pending:
                probe.send(0 if is_near else READY_AFTER_MS)
            honoured = probe.read()
            if honoured is not None:
                break
        is_pending = probe.is_pending
    if honoured:
        return Finding("ok", "tokens", "the server honours uniqueness tokens: early resends are harmless")
    if honoured is False:
        return Finding(
            "warning",
            "tokens",
            "the server does not honour uniqueness tokens: unknown events wait until a query settles them",
            "run `keen-client nightly` often, and do not use the preset immediate",
        )
    return Finding(
        "warning",
        "tokens",
        "the probe was sent and cannot be read yet" if is_pending else "the probe showed nothing",
        "run `keen-client doctor --probe` again in five minutes",
    )


def _ask_for_full_probe(*, as_json: bool) -> None:
    """Say what it costs, and go on only when that is agreed to."""
    from keen_client.verify import full_probe, probe

    note(
        f"the full probe sends up to {full_probe.EVENTS + probe.EVENTS} small events to the collection"
        f" {probe.PROBE_COLLECTION}, which stay there, and asks at most {full_probe.QUERIES_MAX + 1} queries over them"
    )
    if as_json:
        raise click.UsageError("with --json nobody is asked: add --yes to make the full probe")
    click.confirm("make it?", abort=True, err=True)


def _probe_fully(connection: Connection) -> list[Finding]:
    """Send the events, or read those that were sent before."""
    from keen_client.cli.session import open_machinery
    from keen_client.eventlog.finding import Finding
    from keen_client.transport.base_url import is_loopback
    from keen_client.verify.full_probe import FullProbe, told
    from keen_client.verify.probe import READY_AFTER_MS

    with open_machinery(connection, needs_write_key=True, needs_read_key=True) as machinery:
        probe = FullProbe(machinery.log.state, machinery.api, machinery.clock, machinery.randomness)
        if not probe.is_pending:
            probe.send(0 if is_loopback(machinery.settings.base_url) else READY_AFTER_MS)
        features = probe.read()
    if features is None:
        hint = "run `keen-client doctor --probe=full` again in five minutes: it reads what was sent, and sends no more"
        return [Finding("warning", "features", "the full probe was sent and cannot be read yet", hint)]
    hint = "tell Keen; the verdicts that rest on it are withheld for 30 days, or until another full probe"
    return [
        Finding("ok", name, words) if does else Finding("warning", name, words, hint)
        for name, (does, words) in told(features).items()
    ]
