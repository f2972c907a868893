"""What there is: the API's versions, the projects of a key, and what one project holds."""

# mypy: disable-error-code="no-any-return"
# What run_steps makes of steps is its class's own affair: see StepMethods.

from __future__ import annotations

from typing import Any, Generic, NotRequired, TypedDict, TypeVar, cast

from keen_client.api.answers import read_object
from keen_client.api.call import Call, asking, read_list
from keen_client.api.steps import StepMethods, Steps
from keen_client.transport.message import Response
from keen_client.transport.secret import Secret

ProjectR = TypeVar("ProjectR")
ProjectsR = TypeVar("ProjectsR")
VersionsR = TypeVar("VersionsR")
LinksR = TypeVar("LinksR")


class ProjectInfo(TypedDict):
    """A project as Keen shows it. ``api_key`` is masked wherever it is printed; ``.reveal()`` gives the text."""

    id: str
    name: str
    api_key: NotRequired[Secret]
    url: NotRequired[str]
    events_url: NotRequired[str]
    queries_url: NotRequired[str]
    saved_queries: NotRequired[list[Any]]
    events: NotRequired[list[dict[str, str]]]


class ApiVersion(TypedDict):
    """One version of Keen's API, and where it begins."""

    version: str
    url: str
    is_public: bool


def get_versions() -> Steps[list[ApiVersion]]:
    """Ask which versions the API has."""
    return asking(Call(method="GET", path="/", key_class="master", read=_read_versions, is_root=True))


def get_projects() -> Steps[list[ProjectInfo]]:
    """Ask for the projects that the master key opens."""
    return asking(
        Call(method="GET", path="/3.0/projects", key_class="master", read=_read_projects, is_root=True)
    )


def get_project() -> Steps[ProjectInfo]:
    """Ask for this project."""
    return asking(Call(method="GET", path="", key_class="master", read=_read_project))


def get_query_links() -> Steps[dict[str, str]]:
    """Ask which queries there are."""
    return asking(Call(method="GET", path="/queries", key_class="master", read=read_object))


class DiscoveryMethods(StepMethods, Generic[ProjectR, ProjectsR, VersionsR, LinksR]):
    """What there is at Keen (master key)."""

    def get_project(self) -> ProjectR:
        """This project, with the names of its collections as ``events``."""
        return self.run_steps(get_project())

    def get_projects(self) -> ProjectsR:
        """The projects that the master key opens."""
        return self.run_steps(get_projects())

    def get_versions(self) -> VersionsR:
        """The versions of the API; this client speaks 3.0."""
        return self.run_steps(get_versions())

    def get_query_links(self) -> LinksR:
        """The kinds of query, each with the path where it is asked."""
        return self.run_steps(get_query_links())


def _hide_key(project: dict[str, Any]) -> ProjectInfo:
    key = project.get("api_key")
    if isinstance(key, str) and key.strip():
        project["api_key"] = Secret(key)
    return cast("ProjectInfo", project)


def _read_project(response: Response) -> ProjectInfo:
    return _hide_key(read_object(response, "id", "name"))


def _read_projects(response: Response) -> list[ProjectInfo]:
    return [_hide_key(project) for project in read_list(response, "id", "name")]


def _read_versions(response: Response) -> list[ApiVersion]:
    return read_list(response, "version", "url")
