"""Settings: arguments, else the environment, else (for the command line) ``keen-client.toml``.

Secrets come from arguments, from ``KEEN_…_KEY``, or from a file that
``KEEN_…_KEY_FILE`` names; never from a command line.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from keen_client.api.project import Project
from keen_client.delivery.config import DeliveryConfig
from keen_client.errors import ConfigurationError, InvalidEnvironmentError
from keen_client.eventlog.config import LogConfig
from keen_client.eventlog.directory import Binding
from keen_client.transport.base_url import DEFAULT_BASE_URL, normalise_base_url
from keen_client.transport.secret import Secret

CONFIG_FILE: Final = "keen-client.toml"
#: Tables of the configuration file, whose members are the fields of these classes.
TABLES: Final = {"log_settings": LogConfig, "delivery": DeliveryConfig}

_ConfigT = TypeVar("_ConfigT", LogConfig, DeliveryConfig)

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
    """Where events go, where and how they are kept. ``base_url`` is the part before ``/3.0``."""

    project_id: str
    base_url: str
    log: Path
    write_key: Secret | None = None
    read_key: Secret | None = None
    master_key: Secret | None = None
    is_disabled: bool = False
    log_config: LogConfig = attrs.Factory(LogConfig)
    delivery_config: DeliveryConfig = attrs.Factory(DeliveryConfig)

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
    *,
    reads_file: bool = False,
) -> Settings:
    """Gather the settings; *given* values that are None were not given.

    With *reads_file*, the command line's way, what is given nowhere else comes
    from *config_file*, which has to exist, or where none is named from
    ``keen-client.toml`` of the working directory if there is one. A library
    does not look into the directory it happens to run in.

    Raises:
        InvalidEnvironmentError: there is no project id.
        ConfigurationError: a value cannot be used. Nothing was recorded and nothing was sent.
    """
    environment = os.environ if environment is None else environment
    from_file = _read_file(config_file) if reads_file else {}

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
                "name the project: project_id=, --project-id, KEEN_PROJECT_ID, or keen-client.toml",
            )
        project_id = "disabled"
    project_id = _plain_project_id(str(project_id))
    log = find("log")
    return Settings(
        project_id=project_id,
        base_url=_base_url(find("base_url")),
        log=_log(log, project_id, environment, is_disabled=is_disabled),
        write_key=_secret("write_key", find("write_key")),
        read_key=_secret("read_key", find("read_key")),
        master_key=_secret("master_key", find("master_key")),
        is_disabled=is_disabled,
        log_config=_config(LogConfig, from_file, "log_settings"),
        delivery_config=_config(DeliveryConfig, from_file, "delivery"),
    )


def _log(log: Any, project_id: str, environment: Mapping[str, str], *, is_disabled: bool) -> Path:
    if log:
        return place_of_log(str(log))
    try:
        return default_log(project_id, environment)
    except ConfigurationError:
        if not is_disabled:
            raise
        return Path(os.devnull)  # nothing is kept anywhere


def place_of_log(log: str) -> Path:
    """Where *log* lies, from the root on.

    Raises:
        ConfigurationError: it is no path.
    """
    try:
        place = Path(log).expanduser().absolute()
    except (RuntimeError, ValueError):  # nobody's home; what no path may hold
        place = None
    if place is None or "\0" in log:
        raise ConfigurationError(
            f"the log's place {log[:60]!r} names no directory; nothing was recorded and nothing was sent",
            "give a path: log=, --log, KEEN_LOG, or keen-client.toml",
        )
    return place


def default_log(project_id: str, environment: Mapping[str, str]) -> Path:
    """The log's place when none is named: ``$XDG_STATE_HOME`` or ``~/.local/state``, then ``keen-client/<project>``.

    Raises:
        ConfigurationError: there is neither.
    """
    base = environment.get("XDG_STATE_HOME")
    # A relative one is invalid (XDG base directories), and would name another place after a chdir.
    if base and Path(base).is_absolute():
        return Path(base) / "keen-client" / project_id
    try:
        return Path.home() / ".local" / "state" / "keen-client" / project_id
    except RuntimeError as error:  # a container's user that nobody entered anywhere
        raise ConfigurationError(
            "no place for the log was given, and this user has no home directory;"
            " nothing was recorded and nothing was sent",
            "name a directory: log=, --log, KEEN_LOG, XDG_STATE_HOME, or keen-client.toml",
        ) from error


def _plain_project_id(project_id: str) -> str:
    """A project id goes into a URL path and a directory name."""
    if not project_id.replace("-", "").replace("_", "").isalnum() or not project_id.isascii():
        raise ConfigurationError(
            f"project_id {project_id[:60]!r} is no project id; nothing was recorded and nothing was sent",
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
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{variable}_FILE names {path}, which cannot be read ({type(error).__name__}); nothing was sent",
            "correct the path or its permissions",
        ) from error
    if not text:
        raise ConfigurationError(
            f"{variable}_FILE names {path}, which is empty; nothing was recorded and nothing was sent",
            f"write the key into it, or unset {variable}_FILE",
        )
    return text


def _read_file(config_file: Path | None) -> dict[str, Any]:
    path = Path(CONFIG_FILE) if config_file is None else config_file
    if config_file is None:
        if not path.is_file():
            return {}
        _refuse_of_others(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"the configuration {path} cannot be read ({error.strerror}); nothing was sent",
            "correct --config",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"the configuration {path} is not TOML ({error}); nothing was sent", "correct the file"
        ) from error
    unknown = sorted(set(content) - set(ENVIRONMENT) - set(TABLES))
    if unknown:
        raise ConfigurationError(
            f"the configuration {path} has unknown settings: {', '.join(unknown)}; nothing was sent",
            f"known are: {', '.join(sorted({*ENVIRONMENT, *TABLES}))}",
        )
    for name, value in content.items():
        if name not in TABLES and not isinstance(value, (str, bool) if name == "disabled" else str):
            expected = "true or false" if name == "disabled" else "a text"
            raise ConfigurationError(
                f"the setting {name} in {path} is {type(value).__name__}, not {expected}; nothing was sent",
                f"give {expected}",
            )
    return content


def _refuse_of_others(path: Path) -> None:
    """A file that merely lies about says where keys go: somebody else must not have written it."""
    status = path.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
        raise ConfigurationError(
            f"{path} of the working directory is another user's, or all may write to it;"
            " it was not used and nothing was sent",
            f"name it if it is to be trusted: --config {path}",
        )


def _config(kind: type[_ConfigT], content: Mapping[str, Any], table: str) -> _ConfigT:
    """The configuration class of one table, each member checked by name and type."""
    members = content.get(table, {})
    defaults = attrs.asdict(kind(), recurse=False)
    if not isinstance(members, dict):
        raise ConfigurationError(
            f"[{table}] in {CONFIG_FILE} is no table; nothing was sent", "correct the file"
        )
    values: dict[str, Any] = {}
    for name, value in members.items():
        if name not in defaults:
            raise ConfigurationError(
                f"[{table}] has the unknown setting {name[:60]!r}; nothing was sent",
                f"known are: {', '.join(sorted(defaults))}",
            )
        values[name] = _typed(value, defaults[name], f"{table}.{name}")
    return kind(**values)


def _typed(value: Any, default: Any, name: str) -> Any:
    """*value* if it is of the kind of *default*; a list of texts where the default is none."""
    if default is None or isinstance(default, tuple):
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        expected = "a list of texts"
    elif isinstance(default, float) and type(value) is int:
        return float(value)
    elif type(value) is type(default):
        return value
    else:
        expected = {bool: "true or false", int: "a whole number", float: "a number"}.get(
            type(default), "a text"
        )
    raise ConfigurationError(
        f"the setting {name} is {type(value).__name__}, not {expected}; nothing was sent", f"give {expected}"
    )


def one_of(name: str, value: str, words: Sequence[str]) -> None:
    """Refuse a *value* that is none of the *words* of the setting *name*, as a slip in it is.

    Raises:
        ConfigurationError: it is none of them.
    """
    if value not in words:
        raise ConfigurationError(
            f"{name} {value!r} is not known; nothing was recorded and nothing was sent",
            f"use {' or '.join(map(repr, words))}",
        )


def _truth(value: Any) -> bool:
    return str(value).strip().lower() not in _FALSE if value is not None else False


def _base_url(value: Any) -> str:
    try:
        return normalise_base_url(str(value or DEFAULT_BASE_URL))
    except ConfigurationError as error:
        raise _named("base_url", error) from None


def _secret(name: str, value: Any) -> Secret | None:
    if value is None or value == "" or isinstance(value, Secret):
        return value or None
    try:
        return Secret(str(value))
    except ConfigurationError as error:
        raise _named(name, error) from None


def _named(name: str, error: ConfigurationError) -> ConfigurationError:
    """*error*, saying which setting it is about."""
    return ConfigurationError(f"{name} ({ENVIRONMENT[name]}): {error.message}", error.hint)
