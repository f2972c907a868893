"""Numbers that look legal and cannot work are refused by their name, or mean what they say."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from keen_client.delivery.config import DeliveryConfig
from keen_client.errors import ConfigurationError
from keen_client.testing.uploaders import ScriptedUploader
from keen_client.transport import Timeouts


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan, 1e12])
@pytest.mark.parametrize("name", [f.name for f in attrs.fields(DeliveryConfig) if "seconds" in f.name])
def test_a_duration_that_cannot_work_is_refused_by_its_name(name: str, seconds: float) -> None:
    """Each of them, with what to do; nothing was sent."""
    settings: dict[str, Any] = {name: seconds}
    with pytest.raises(ConfigurationError, match=name) as caught:
        DeliveryConfig(**settings)
    assert caught.value.hint


def test_no_wait_at_all_is_a_setting() -> None:
    """Zero seconds are seconds."""
    assert DeliveryConfig(linger_seconds=0, backoff_first_seconds=0, close_seconds=0).linger_seconds == 0


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan])
def test_a_timeout_that_is_none_is_refused(seconds: float) -> None:
    """It would not wait at all."""
    with pytest.raises(ConfigurationError, match="timeout"):
        Timeouts.for_writes(seconds)


def test_a_timeout_without_end_is_the_longest_there_is() -> None:
    """No socket can be told to wait for ever that long, and no answer may take longer."""
    assert Timeouts.for_writes(math.inf) == Timeouts.for_writes(1e9)
    assert math.isfinite(Timeouts.for_writes(math.inf).read_seconds)


def test_a_flush_takes_no_limit_for_none_and_nan_for_a_mistake(post: Any) -> None:
    """Infinity ends when all is sent; what is no number is refused, and nothing was sent."""
    post.record()
    uploader = ScriptedUploader()
    courier = post.courier(post.sender(uploader))
    with pytest.raises(ConfigurationError):
        courier.flush(math.nan)
    assert uploader.bodies == []
    assert courier.flush(math.inf).is_drained
