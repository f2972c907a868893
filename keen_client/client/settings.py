"""Settings: arguments, else the environment, else ``keen-client.toml``.

Secrets come from arguments, from ``KEEN_…_KEY``, or from a file that
``KEEN_…_KEY_FILE`` names; never from a command line.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from keen_client.api.project import Project
from keen_client.errors import ConfigurationError, InvalidEnvironmentError
from keen_client.eventlog.directory import Binding
from keen_client.transport.base_url import DEFAULT_BASE_URL, normalise_base_url
from keen_client.transport.secret import Secret

CONFIG_FILE: Final = "keen-client.toml"

#: Name of the setting -> environment variable.
ENVIRONMENT: Final[dict[str, str]] = {
    "project_id": "KEEN_PROJECT_ID",
    "write_key": "KEEN_WRITE_KEY",
    "read_key": "KEEN_READ_KEY",
    "master_key": "KEEN_MASTER_KEY",
    "base_url": "KEEN_BASE_URL",
    "log": "KEEN_LOG",
    "disabled": "KEEN_DISABLED",
}
SECRETS: Final = frozenset({"write_key", "read_key", "master_key"})

_FALSE: Final = frozenset({"", "0", "false", "no", "off"})


@attrs.frozen(kw_only=True)
class Settings:
    """Where events go and where they are kept. ``base_url`` is the part before ``/3.0``."""

    project_id: str
    base_url: str
    log: Path
    write_key: Secret | None = None
    read_key: Secret | None = None
    master_key: Secret | None = None
    is_disabled: bool = False

    @property
    def project(self) -> Project:
        """The project as the API knows it."""
        return Project(
            id=self.project_id,
            base_url=self.base_url,
            write_key=self.write_key,
            read_key=self.read_key,
            master_key=self.master_key,
        )

    @property
    def binding(self) -> Binding:
        """The project as the log knows it."""
        return Binding(self.base_url, self.project_id)


def read_settings(
    given: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> Settings:
    """Gather the settings; *given* values that are None were not given.

    *config_file* None reads ``keen-client.toml`` of the working directory if
    there is one; a named file has to exist.

    Raises:
        InvalidEnvironmentError: there is no project id.
        ConfigurationError: a value cannot be used. Nothing was recorded and nothing was sent.
    """
    environment = os.environ if environment is None else environment
    from_file = _read_file(config_file)

    def find(name: str) -> Any:
        value = given.get(name)
        if value is None:
            value = _from_environment(name, environment)
        return from_file.get(name) if value is None else value

    is_disabled = _truth(find("disabled"))
    project_id = find("project_id")
    if not project_id:
        if not is_disabled:
            raise InvalidEnvironmentError(
                "no project id was given; nothing was recorded and nothing was sent",
                "pass project_id, set KEEN_PROJECT_ID, or name it in keen-client.toml",
            )
        project_id = "disabled"
    project_id = _plain_project_id(str(project_id))
    log = find("log")
    return Settings(
        project_id=project_id,
        base_url=normalise_base_url(str(find("base_url") or DEFAULT_BASE_URL)),
        log=Path(log).expanduser().absolute() if log else default_log(project_id, environment),
        write_key=_secret(find("write_key")),
        read_key=_secret(find("read_key")),
        master_key=_secret(find("master_key")),
        is_disabled=is_disabled,
    )


def default_log(project_id: str, environment: Mapping[str, str]) -> Path:
    """The log's place when none is named: ``$XDG_STATE_HOME`` or ``~/.local/state``, then ``keen-client/<project>``."""
    base = environment.get("XDG_STATE_HOME")
    state = Path(base) if base else Path.home() / ".local" / "state"
    return state / "keen-client" / project_id


def _plain_project_id(project_id: str) -> str:
    """A project id goes into a URL path and a directory name."""
    if not project_id.replace("-", "").replace("_", "").isalnum() or not project_id.isascii():
        raise ConfigurationError(
            f"{project_id[:60]!r} is no project id; nothing was recorded and nothing was sent",
            "copy it from the project's page: letters and digits only",
        )
    return project_id


def _from_environment(name: str, environment: Mapping[str, str]) -> str | None:
    variable = ENVIRONMENT[name]
    value = environment.get(variable)
    if value:
        return value
    path = environment.get(f"{variable}_FILE") if name in SECRETS else None
    if not path:
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{variable}_FILE names {path}, which cannot be read ({type(error).__name__}); nothing was sent",
            "correct the path or its permissions",
        ) from error


def _read_file(config_file: Path | None) -> dict[str, Any]:
    path = Path(CONFIG_FILE) if config_file is None else config_file
    if config_file is None and not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"the configuration {path} cannot be read ({error.strerror}); nothing was sent",
            "correct --config",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the configuration {path} is not TOML ({error}); nothing was sent", "correct the file"
        ) from error
    unknown = sorted(set(content) - set(ENVIRONMENT))
    if unknown:
        raise ConfigurationError(
            f"the configuration {path} has unknown settings: {', '.join(unknown)}; nothing was sent",
            f"known are: {', '.join(sorted(ENVIRONMENT))}",
        )
    return content


def _truth(value: Any) -> bool:
    return str(value).strip().lower() not in _FALSE if value is not None else False


def _secret(value: Any) -> Secret | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, Secret) else Secret(str(value).strip())
