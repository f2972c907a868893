"""HTTPS on request, with a certificate of one's own; and the warning where there is none and should be one."""

from __future__ import annotations

import re
import shlex
import ssl
import subprocess
from pathlib import Path
from typing import Final

import httpx
import pytest

from keen_client import KeenClient
from keen_client.server import LocalServer
from keen_client.server.exposure import Certificate, warn_when_exposed

PAGE: Final = Path(__file__).parents[3] / "docs" / "reference" / "local_server.md"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A self-signed certificate, made by the command that the documentation shows."""
    (command,) = re.findall(r"^\$ (openssl .*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(shlex.split(command), cwd=directory, check=True, capture_output=True)
    names = re.findall(r"(\w+\.pem)", command)
    assert sorted(names) == ["cert.pem", "key.pem"]
    return Certificate(directory / "cert.pem", directory / "key.pem")


def _served(certificate: Certificate) -> LocalServer:
    return LocalServer(tls_cert=certificate.cert, tls_key=certificate.key)


def test_requests_are_answered_over_https(certificate: Certificate) -> None:
    """With the documented certificate: written and counted over TLS, by a client that checks the certificate."""
    trust = ssl.create_default_context(cafile=str(certificate.cert))
    with _served(certificate) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert server.ready_document()["url"] == server.url
        with httpx.Client(base_url=server.url, verify=trust) as client:
            client.headers["Authorization"] = server.master_key
            base = f"/3.0/projects/{server.project_id}"
            assert client.post(f"{base}/events/c", json={"a": 1}).json() == {"created": True}
            query = {"event_collection": "c", "timeframe": "this_1_days"}
            assert client.post(f"{base}/queries/count", json=query).json() == {"result": 1}


def test_the_client_of_this_package_sends_over_https(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``SSL_CERT_FILE`` is all that a client needs to trust a server of one's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.cert))
    with (
        _served(certificate) as server,
        KeenClient(
            server.project_id,
            server.write_key,
            server.read_key,
            base_url=server.url,
            log=tmp_path / "log",
            background=False,
        ) as keen,
    ):
        keen.add_event("c", {"a": 1})
        keen.flush()
        assert keen.count("c", timeframe="this_1_days") == 1


def test_a_cut_line_is_cut_under_tls_too(certificate: Certificate) -> None:
    """The fault that drops the line before the answer does so under TLS, after the event was stored."""
    trust = ssl.create_default_context(cafile=str(certificate.cert))
    with _served(certificate) as server, httpx.Client(base_url=server.url, verify=trust) as client:
        client.headers["Authorization"] = server.master_key
        base = f"/3.0/projects/{server.project_id}"
        server.faults.change({"cut-after-store": {"times": 1}})
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(f"{base}/events/c", json={"a": 1})
        query = {"event_collection": "c", "timeframe": "this_1_days"}
        assert client.post(f"{base}/queries/count", json=query).json() == {"result": 1}


def test_nothing_is_answered_in_the_clear_once_there_is_a_certificate(certificate: Certificate) -> None:
    """A server with a certificate speaks HTTPS only."""
    with _served(certificate) as server, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(server.url.replace("https", "http"))


def test_a_client_that_does_not_know_the_certificate_sends_nothing(certificate: Certificate) -> None:
    """The connection ends before a key has travelled."""
    with _served(certificate) as server, pytest.raises(httpx.ConnectError, match="certificate"):
        httpx.get(server.url, headers={"Authorization": server.master_key})


def test_files_that_cannot_serve_are_refused_before_anything_is_opened(
    certificate: Certificate, tmp_path: Path
) -> None:
    """One of the two alone, a missing file, files swapped, a key with a passphrase: all told, nothing asked for."""
    locked = tmp_path / "locked.pem"
    command = [
        "openssl",
        "pkey",
        "-in",
        str(certificate.key),
        "-aes256",
        "-passout",
        "pass:x",
        "-out",
        str(locked),
    ]
    subprocess.run(command, check=True, capture_output=True)
    for cert, key in (
        (certificate.cert, None),
        (None, certificate.key),
        (certificate.key, certificate.cert),
        (tmp_path / "missing.pem", certificate.key),
        (certificate.cert, locked),
    ):
        with pytest.raises(ValueError, match="certificate"):
            LocalServer(directory=tmp_path / "data", tls_cert=cert, tls_key=key)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_beyond_loopback_is_warned_about(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, naming the address."""
    warn_when_exposed(host)
    assert host in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_not_warned_about(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What stays on this machine needs no certificate."""
    warn_when_exposed(host)
    assert capsys.readouterr().err == ""


def test_with_a_certificate_there_is_no_warning(
    certificate: Certificate, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beyond loopback the warning is about the missing certificate, so with one there is none."""
    every = "0.0.0.0"
    with LocalServer(host=every, tls_cert=certificate.cert, tls_key=certificate.key):
        assert capsys.readouterr().err == ""
    with LocalServer(host=every):
        assert "unencrypted" in capsys.readouterr().err
