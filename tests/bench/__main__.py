"""``python -m tests.bench [--write] [--quick] [--directory DIR]``: run the benchmark, print it, keep it as a page."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench.draining import drain, memory
from tests.bench.recording import many_threads, one_thread
from tests.bench.rounds import machine
from tests.bench.serving import section_of, with_section
from tests.bench.sink import Sink

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "performance.md"

_HEAD = """\
# Performance

Written by `python -m tests.bench --write`, never by hand. Each case runs once a round, in a turned order; the figures
are medians over the rounds, and the ratios are taken within a round: they may be compared, and only inside one table.
Microseconds depend on the machine and on what else it does; where other work shared it, the CPU columns (of this
process, all its threads) say more about the code, and nothing about the disk.

"""


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run every section on a scratch directory."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/reference/performance.md")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the work: a smoke test, not a figure"
    )
    parser.add_argument("--directory", type=Path, default=None, help="a directory on the disk to measure")
    given = parser.parse_args()
    part = 10 if given.quick else 1
    with tempfile.TemporaryDirectory(prefix="keen-bench-", dir=given.directory) as scratch:
        directory = Path(scratch)
        text = f"{_HEAD}Machine: {machine(directory)}.\n\n"
        _show(text)
        started = time.perf_counter()
        with Sink() as url:
            sections: list[Callable[[], str]] = [
                partial(one_thread, directory, "normal", 500 // part, 21),
                partial(one_thread, directory, "full", 100 // part, 11),
                partial(many_threads, directory, 8, 60 // part, 7),
                partial(many_threads, directory, 32, 30 // part, 7),
                partial(drain, directory, url, 20 // part, 7),
                partial(memory, directory, url, 1_000_000 // part),
            ]
            for section in sections:
                written = section()
                _show(written)
                text += written + "\n"
        _show(f"{time.perf_counter() - started:.0f} s")
    if given.write:
        # The last part of the page is another command's.
        kept = section_of(PAGE.read_text(encoding="utf-8"))
        PAGE.write_text(with_section(text, kept), encoding="utf-8")


if __name__ == "__main__":
    main()
