"""One server, one spelling."""

from __future__ import annotations

import pytest

from keen_client.errors import ConfigurationError
from keen_client.transport import DEFAULT_BASE_URL, normalise_base_url


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("https://api.keen.io", "https://api.keen.io"),
        ("https://api.keen.io/", "https://api.keen.io"),
        ("https://api.keen.io/3.0", "https://api.keen.io"),
        ("https://api.keen.io/3.0/", "https://api.keen.io"),
        (" HTTPS://API.Keen.IO:443/ ", "https://api.keen.io"),
        ("http://127.0.0.1:8200/3.0", "http://127.0.0.1:8200"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:8200/", "http://[::1]:8200"),
        ("https://gateway.example/keen/3.0/", "https://gateway.example/keen"),
        ("https://gateway.example/keen3.0", "https://gateway.example/keen3.0"),
    ],
)
def test_spellings_of_one_address_come_out_the_same(given: str, form: str) -> None:
    """And the form itself is left as it is."""
    assert normalise_base_url(given) == form
    assert normalise_base_url(form) == form


def test_default_is_in_its_form() -> None:
    """The hosted service."""
    assert normalise_base_url(DEFAULT_BASE_URL) == DEFAULT_BASE_URL


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "api.keen.io",
        "ftp://api.keen.io",
        "https://",
        "https:///3.0",
        "https://user:hunter2@api.keen.io",
        "https://hunter2@api.keen.io",
        "https://api.keen.io?api_key=hunter2",
        "https://api.keen.io/#hunter2",
        "https://api.keen.io:port",
        "https://[::1",
        "https://a b",
    ],
)
def test_what_is_no_base_url_is_refused_without_repeating_secrets(bad: str) -> None:
    """A URL with credentials is refused in words that do not show them."""
    with pytest.raises(ConfigurationError, match="nothing was sent") as caught:
        normalise_base_url(bad)
    assert "hunter2" not in str(caught.value) + str(caught.value.hint)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("https://API.keen.io/3.0/projects/5f", "https://api.keen.io"),
        ("http://[::1]:8200/3.0/projects/5f/events/", "http://[::1]:8200"),
        ("https://gateway.example/keen/3.0/projects/5f/3.0", "https://gateway.example/keen"),
    ],
)
def test_the_url_of_a_call_is_refused_with_what_to_write_instead(given: str, wanted: str) -> None:
    """The client adds /3.0/projects/… itself: with it, every request would go to a path that no server has."""
    with pytest.raises(ConfigurationError, match=r"goes on after /3\.0.*nothing was sent") as caught:
        normalise_base_url(given)
    assert (caught.value.hint or "").startswith(f"give {wanted}, ")
