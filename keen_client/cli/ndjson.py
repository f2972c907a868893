"""Events from a stream of JSON lines into the log: in transactions, each bad line told and left out."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO, Final

import attrs

from keen_client.api.json_text import decode
from keen_client.errors import InvalidEventError
from keen_client.events.encoding import EncodedEvent, encode_event

#: A transaction: so many events, or so many bytes of lines.
EVENTS_PER_TRANSACTION: Final = 5_000
BYTES_PER_TRANSACTION: Final = 16_000_000
#: A longer line is refused without being kept in memory; an event has at most 900,000 bytes.
LINE_BYTES_MAX: Final = 8_000_000
#: With input this long in coming, what was read is committed.
_PATIENCE_MS: Final = 200
_BLOCK_BYTES: Final = 1 << 16
_BOM: Final = b"\xef\xbb\xbf"


@attrs.define
class Progress:
    """How far an import is: events recorded, lines refused, and the last line that is on disk or refused."""

    recorded: int = 0
    refused: int = 0
    line: int = 0


class Import:
    """One stream on its way into the log.

    ``refuse`` is called with each line's number, from 1, and why it is left out;
    a commit and its entry in ``progress`` are made inside of ``held``.
    """

    def __init__(
        self,
        collection: str,
        refuse: Callable[[int, str], None],
        held: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.progress: Final = Progress()
        self._collection = collection
        self._refuse = refuse
        self._held = held
        self._waiting: list[EncodedEvent] = []
        self._waiting_bytes = 0
        self._seen = 0

    @property
    def seen(self) -> int:
        """The last line that was read; those after ``progress.line`` were not committed."""
        return self._seen

    def run(
        self,
        stream: BinaryIO,
        record_all: Callable[[Sequence[EncodedEvent]], object],
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Take the whole stream. ``record_all`` commits events, all or none.

        After an error ``progress`` says what is in the log.
        """
        for line in _lines(stream):
            if line is None:
                self._commit(record_all)
            else:
                self._take(line)
                if (
                    len(self._waiting) < EVENTS_PER_TRANSACTION
                    and self._waiting_bytes < BYTES_PER_TRANSACTION
                ):
                    continue
                self._commit(record_all)
            on_progress(self.progress)
        self._commit(record_all)
        on_progress(self.progress)

    def _take(self, line: bytes) -> None:
        self._seen += 1
        if self._seen == 1:
            line = line.removeprefix(_BOM)
        if not line.strip():
            return
        try:
            if len(line) > LINE_BYTES_MAX:
                raise ValueError(f"longer than {LINE_BYTES_MAX:,} bytes")
            event = encode_event(self._collection, _object(line))
        except InvalidEventError as error:
            self._leave_out(f"{error.message.removesuffix('; nothing was recorded')}")
        except ValueError as error:
            self._leave_out(str(error))
        else:
            self._waiting.append(event)
            self._waiting_bytes += len(line)

    def _leave_out(self, why: str) -> None:
        self.progress.refused += 1
        self._refuse(self._seen, why)

    def _commit(self, record_all: Callable[[Sequence[EncodedEvent]], object]) -> None:
        with self._held():
            if self._waiting:
                record_all(self._waiting)
                self.progress.recorded += len(self._waiting)
                self._waiting, self._waiting_bytes = [], 0
            self.progress.line = self._seen


def _object(line: bytes) -> dict[str, object]:
    try:
        value = decode(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {str(error).split(': line')[0]}") from None
    if isinstance(value, dict):
        return value
    raise ValueError(f"not a JSON object but {_KINDS.get(type(value), 'a number')}")


_KINDS: Final = {list: "a list", str: "text", bool: "a boolean", type(None): "null"}


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """The lines of *stream* without their ends; None where the stream pauses.

    Of a line that is too long only the beginning comes, one byte more than allowed.
    """
    rest, is_cut = b"", False
    while True:
        block = _read(stream)
        if not block:
            break
        parts = block.split(b"\n")
        parts[0] = rest + parts[0] if not is_cut else rest
        yield from parts[:-1]
        if len(parts) > 1:
            is_cut = False
        rest = parts[-1]
        if len(rest) > LINE_BYTES_MAX:
            rest, is_cut = rest[: LINE_BYTES_MAX + 1], True
        if _pauses(stream):
            yield None
    if rest:
        yield rest


def _read(stream: BinaryIO) -> bytes:
    """What there is to read, at most a block; empty at the end."""
    read1 = getattr(stream, "read1", stream.read)
    return bytes(read1(_BLOCK_BYTES))


def _pauses(stream: BinaryIO) -> bool:
    """Whether the next bytes are long in coming. Only a pipe or a terminal pauses."""
    try:
        descriptor = stream.fileno()
    except OSError:  # bytes in memory have no descriptor
        return False
    poll = select.poll()  # select() knows no descriptor beyond 1023
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(_PATIENCE_MS)
