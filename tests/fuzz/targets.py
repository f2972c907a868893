"""All targets, by name."""

from __future__ import annotations

from typing import Final

from tests.fuzz.answering import RESPONSES, VERIFICATION
from tests.fuzz.reading import CONFIG, KEYS, NDJSON, RECEIPTS, TIMESTAMPS
from tests.fuzz.serving import HTTP
from tests.fuzz.stored import DESCRIPTION, SEGMENTS
from tests.fuzz.target import Target

TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        RESPONSES,
        VERIFICATION,
        CONFIG,
        NDJSON,
        TIMESTAMPS,
        KEYS,
        RECEIPTS,
        SEGMENTS,
        DESCRIPTION,
        HTTP,
    )
}
