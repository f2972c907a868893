"""Whose clock dates an attempt: Keen's own, by answers that can only be Keen's, and within reason."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import attrs
import pytest

from keen_client.testing.uploaders import ScriptedUploader, accept
from keen_client.transport.message import Response

YEAR_SECONDS = 365 * 86_400


def _attempted_ms(post: Any) -> int:
    with post.log.state.reading() as db:
        return int(db.execute("SELECT max(attempted_ms) FROM totals").fetchone()[0])


def _date(post: Any, ahead_seconds: float) -> str:
    return formatdate(post.clock.wall_ms() / 1_000 + ahead_seconds, usegmt=True)


@pytest.mark.parametrize("status", [200, 302, 400, 404, 429, 502])
def test_a_proxys_page_dates_nothing(post: Any, status: int) -> None:
    """Its clock may be a year ahead: the window would be settling for as long."""
    post.record()
    page = Response(status=status, body=b"<html>gateway</html>", headers={"date": _date(post, YEAR_SECONDS)})
    sender = post.sender(ScriptedUploader(lambda _: page))
    sender.step()
    assert _attempted_ms(post) == post.clock.wall_ms()


@pytest.mark.parametrize(
    ("ahead_seconds", "more", "believed"),
    [
        (YEAR_SECONDS, {}, True),
        (YEAR_SECONDS, {"age": "12"}, False),
        (2 * YEAR_SECONDS, {}, False),
    ],
)
def test_an_answer_out_of_a_cache_or_beyond_reason_dates_nothing(
    post: Any, ahead_seconds: int, more: dict[str, str], believed: bool
) -> None:
    """No clock stands still for more than a year while its machine runs; what a cache kept is of another time."""
    post.record()
    headers = {"date": _date(post, ahead_seconds), **more}
    post.sender(ScriptedUploader(lambda body: attrs.evolve(accept(body), headers=headers))).step()
    expected = post.clock.wall_ms() + (ahead_seconds * 1_000 if believed else 0)
    assert abs(_attempted_ms(post) - expected) <= 1_000


def test_a_clock_that_was_never_set_believes_the_server(post: Any) -> None:
    """It begins in 1970: that is further off than any bound, and sure to be wrong."""
    post.clock.step_wall(-post.clock.wall_ms() / 1_000 + 3_600)
    post.record()
    headers = {"date": _date(post, 56 * YEAR_SECONDS)}
    post.sender(ScriptedUploader(lambda body: attrs.evolve(accept(body), headers=headers))).step()
    assert abs(_attempted_ms(post) - post.clock.wall_ms() - 56 * YEAR_SECONDS * 1_000) <= 1_000
