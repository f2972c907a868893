"""``python -m tests.fuzz <target>|all --seconds N``: hunt for inputs that break a parser, guided by coverage.

Needs the extra ``fuzz``. What breaks a target is written to its folder below
``tests/fuzz/regressions``, which the default tests play again.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.target import NAMES, Target

#: An input that takes longer hangs, on a busy machine too; one that needs more memory leaks.
_HANG_SECONDS = 300
_MEMORY_MB = 3_000


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="how long to hunt, for each target")
    parser.add_argument(
        "--corpus", type=Path, help="a directory to keep what reaches far in; else it is thrown away"
    )
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    chosen, more = parser.parse_known_args(arguments)
    if chosen.in_process:
        return _hunt(chosen.target, more)
    from tests.fuzz.targets import TARGETS

    names = list(TARGETS) if chosen.target == "all" else [chosen.target]
    with tempfile.TemporaryDirectory(prefix="keen-fuzz-") as scratch:
        found = [
            name for name in names if _run(TARGETS[name], chosen.seconds, chosen.corpus or Path(scratch))
        ]
    sys.stdout.write(
        f"{len(names) - len(found)} targets without a finding; with: {', '.join(found) or 'none'}\n"
    )
    return 1 if found else 0


def _run(target: Target, seconds: int, corpus: Path) -> bool:
    """Hunt in a process of its own, which a finding ends; whether there was one."""
    seeds = corpus / target.name
    seeds.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.corpus()):
        (seeds / f"seed-{number}").write_bytes(seed)
    dictionary = corpus / f"{target.name}.dict"
    dictionary.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
    target.regressions.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "tests.fuzz", target.name, "--in-process", str(seeds)),
        *(f"-max_total_time={seconds}", f"-dict={dictionary}", f"-timeout={_HANG_SECONDS}"),
        "-report_slow_units=100000",
        *(f"-rss_limit_mb={_MEMORY_MB}", f"-artifact_prefix={target.regressions}/", "-print_final_stats=1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    count = int(executed[1]) if executed else 0
    outcome = "ok" if done.returncode == 0 else "FOUND"
    sys.stdout.write(f"{outcome:6} {target.name:14} {count:>12,} inputs in {seconds} s\n")
    if done.returncode:
        told = [*done.stdout.splitlines()[-30:], *(line for line in done.stderr.splitlines() if "==" in line)]
        sys.stdout.write("".join(f"       {line}\n" for line in told))
    sys.stdout.flush()
    if target.regressions.is_dir() and not any(target.regressions.iterdir()):
        target.regressions.rmdir()
    return done.returncode != 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _hunt(name: str, arguments: Sequence[str]) -> int:
    """Never returns: libFuzzer ends the process."""
    try:
        import atheris
    except ImportError:
        sys.stderr.write("atheris is not installed: pip install -e '.[test,fuzz]'\n")
        return 2
    with atheris.instrument_imports(include=["keen_client"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
