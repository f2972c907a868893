"""Cached datasets: results that Keen computes ahead, by interval and by the value of an index property."""

# mypy: disable-error-code="no-any-return"
# What run_steps makes of steps is its class's own affair: see StepMethods.

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NotRequired, TypedDict, TypeVar, cast

from keen_client.api.answers import read_object, unreadable
from keen_client.api.call import Call, asking, changing, json_param, read_done
from keen_client.api.json_text import encode
from keen_client.api.project import encode_segment
from keen_client.api.steps import StepMethods, Steps
from keen_client.errors import InvalidQueryError, UnreadableResponseError
from keen_client.queries.analysis import Analysis
from keen_client.queries.definition import checked_query
from keen_client.queries.timeframe import TimeframeLike, parse_timeframe
from keen_client.queries.values import freeze, named, thaw, whole
from keen_client.transport.message import Response

#: Definitions on one page, at most.
PAGE_MAX: Final = 100

_NOT_FOR_DATASETS: Final = frozenset({"extraction", "funnel"})

DatasetR = TypeVar("DatasetR")
PageR = TypeVar("PageR")
ResultsR = TypeVar("ResultsR")
DoneR = TypeVar("DoneR")


class Dataset(TypedDict):
    """A cached dataset as Keen shows it. Dates are ISO 8601 in UTC, None before the first computation."""

    dataset_name: str
    query: dict[str, Any]
    index_by: list[str]
    display_name: NotRequired[str]
    last_scheduled_date: NotRequired[str | None]
    latest_subtimeframe_available: NotRequired[str | None]
    milliseconds_behind: NotRequired[int]
    project_id: NotRequired[str]


class DatasetPage(TypedDict):
    """One page of definitions, sorted by name; ``next_page_url`` is None on the last."""

    datasets: list[Dataset]
    next_page_url: NotRequired[str | None]
    count: NotRequired[int]


class DatasetResults(TypedDict):
    """``result``: for each interval a ``value``, of the shape of the query's, and its ``timeframe``."""

    result: list[dict[str, Any]]
    metadata: NotRequired[dict[str, Any]]


def dataset_page(limit: int | None = None, after_name: str | None = None) -> Steps[DatasetPage]:
    """Ask for one page of definitions."""
    params: list[tuple[str, str]] = []
    if limit is not None:
        if whole(limit, "limit", 1) > PAGE_MAX:
            raise InvalidQueryError(
                f"limit is over {PAGE_MAX}, the most that a page holds; nothing was sent",
                "ask for pages, or use iterate()",
            )
        params.append(("limit", str(limit)))
    if after_name is not None:
        params.append(("after_name", named(after_name, "after_name")))
    return asking(
        Call(method="GET", path="/datasets", key_class="master", read=_read_page, params=tuple(params))
    )


def get_dataset(dataset_name: str) -> Steps[Dataset]:
    """Ask for one definition."""
    return asking(Call(method="GET", path=_path(dataset_name), key_class="read", read=_read_dataset))


def create_dataset(
    dataset_name: str, query: Mapping[str, Any] | Analysis, index_by: str | Sequence[str], display_name: str
) -> Steps[Dataset]:
    """Make a dataset."""
    path = _path(dataset_name)
    checked = _checked_query(query)
    _check_index(index_by, checked)
    definition = {
        "query": checked,
        "index_by": index_by if isinstance(index_by, str) else list(index_by),
        "display_name": named(display_name, "display_name"),
    }
    return changing(
        Call(method="PUT", path=path, key_class="master", read=_read_dataset, body=encode(definition)),
        "the dataset",
        "created",
        "cached_datasets.get() shows whether it is there",
    )


def dataset_results(dataset_name: str, index_by: object, timeframe: TimeframeLike) -> Steps[DatasetResults]:
    """Ask for the results of one index value."""
    span = parse_timeframe(timeframe)
    if span is None:
        raise InvalidQueryError("a dataset's results need a timeframe; nothing was sent", "give one")
    if index_by is None or index_by == "":
        raise InvalidQueryError(
            "a dataset's results need index_by, the value to look up; nothing was sent",
            "such as 'customer-1', or {'organization.id': 'x', 'project.id': 'y'} where it has several",
        )
    params = (
        ("index_by", json_param(thaw(freeze(index_by, "index_by")))),
        ("timeframe", json_param(span.to_json())),
    )
    return asking(
        Call(
            method="GET",
            path=f"{_path(dataset_name)}/results",
            key_class="read",
            read=_read_results,
            params=params,
        )
    )


def delete_dataset(dataset_name: str) -> Steps[bool]:
    """Delete one."""
    return changing(
        Call(method="DELETE", path=_path(dataset_name), key_class="master", read=read_done),
        "the dataset",
        "deleted",
        "cached_datasets.get() raises NotFoundError when it is gone",
    )


class PageTurner:
    """Goes from page to page until the last, and refuses to go in a circle."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._after: str | None = None
        self.is_done = False

    def next_page(self) -> Steps[DatasetPage]:
        """The steps of the next page."""
        return dataset_page(self._limit, self._after)

    def take(self, page: DatasetPage) -> list[Dataset]:
        """The page's definitions; afterwards :attr:`is_done` says whether it was the last.

        Raises:
            UnreadableResponseError: The page does not come after the one before it.
        """
        definitions = page["datasets"]
        self.is_done = not definitions or not page.get("next_page_url")
        if definitions:
            last = definitions[-1]["dataset_name"]
            if last == self._after:
                raise UnreadableResponseError(
                    "the server gave the same page of datasets twice; what came before it is complete",
                    "ask again, or for fewer on a page",
                )
            self._after = last
        return definitions


class CachedDatasets(Generic[DatasetR, PageR, ResultsR, DoneR]):
    """``client.cached_datasets``. Results do not count against Keen's rate of queries.

    An unknown name is a ``NotFoundError``; a definition that Keen would refuse
    an ``InvalidQueryError``, and nothing was sent.
    """

    def __init__(self, runner: StepMethods) -> None:
        self._runner = runner

    def all(self, *, limit: int | None = None, after_name: str | None = None) -> PageR:
        """One page of definitions, as Keen shows it: ``datasets``, ``next_page_url``, ``count`` (master key).

        A page holds 10, or *limit* up to 100, of the names after *after_name*.
        ``iterate()`` gives all of them.
        """
        return self._runner.run_steps(dataset_page(limit, after_name))

    def get(self, dataset_name: str) -> DatasetR:
        """One definition (read key)."""
        return self._runner.run_steps(get_dataset(dataset_name))

    def create(
        self,
        dataset_name: str,
        query: Mapping[str, Any] | Analysis,
        index_by: str | Sequence[str],
        display_name: str,
    ) -> DatasetR:
        """Make a dataset (master key). It cannot be changed later: delete it and make it anew.

        *query* is an Analysis or a dict with its ``analysis_type``, no extraction and no funnel, and an
        ``interval``; *index_by* is the property, or the properties, whose value
        results are asked by, none of which is in the query's ``group_by``.
        """
        return self._runner.run_steps(create_dataset(dataset_name, query, index_by, display_name))

    def results(self, dataset_name: str, index_by: object, timeframe: TimeframeLike) -> ResultsR:
        """The results of one index value (read key).

        *index_by* is the value; where the dataset has several index properties a
        dict of property and value. *timeframe* lies in the dataset's range, in
        whole intervals.
        """
        return self._runner.run_steps(dataset_results(dataset_name, index_by, timeframe))

    def delete(self, dataset_name: str) -> DoneR:
        """Delete it for good; True when it is done (master key)."""
        return self._runner.run_steps(delete_dataset(dataset_name))


class SyncCachedDatasets(CachedDatasets[Dataset, DatasetPage, DatasetResults, bool]):
    """``KeenClient.cached_datasets``."""

    def iterate(self, *, limit: int = PAGE_MAX) -> Iterator[Dataset]:
        """Every definition by name, page after page of *limit* (master key)."""
        turner = PageTurner(limit)
        while not turner.is_done:
            yield from turner.take(self._runner.run_steps(turner.next_page()))


class AioCachedDatasets(
    CachedDatasets[Awaitable[Dataset], Awaitable[DatasetPage], Awaitable[DatasetResults], Awaitable[bool]]
):
    """``AsyncKeenClient.cached_datasets``."""

    async def iterate(self, *, limit: int = PAGE_MAX) -> AsyncIterator[Dataset]:
        """See :meth:`SyncCachedDatasets.iterate`."""
        turner = PageTurner(limit)
        while not turner.is_done:
            for definition in turner.take(await self._runner.run_steps(turner.next_page())):
                yield definition


def _path(dataset_name: str) -> str:
    return f"/datasets/{encode_segment(named(dataset_name, 'dataset_name'))}"


def _checked_query(query: Mapping[str, Any] | Analysis) -> dict[str, Any]:
    checked = checked_query(query)
    if checked["analysis_type"] in _NOT_FOR_DATASETS:
        raise InvalidQueryError(
            f"a dataset cannot hold a query of type {checked['analysis_type']}; nothing was sent",
            "a dataset holds figures by interval",
        )
    if not checked.get("interval"):
        raise InvalidQueryError("a dataset's query needs an interval; nothing was sent", "such as 'daily'")
    return checked


def _check_index(index_by: object, query: Mapping[str, Any]) -> None:
    members = [index_by] if isinstance(index_by, str) else index_by
    if not isinstance(members, list | tuple) or not members:
        raise InvalidQueryError(
            "index_by is not a property or a list of properties; nothing was sent", "such as 'customer.id'"
        )
    grouped = query.get("group_by")
    groups = grouped if isinstance(grouped, list) else [grouped]
    for member in members:
        if named(member, "index_by") in groups:
            raise InvalidQueryError(
                f"{member[:60]!r} is both in index_by and in group_by; nothing was sent",
                "an index property cannot be grouped by: each result is of one value of it",
            )


def _read_dataset(response: Response) -> Dataset:
    return cast("Dataset", read_object(response, "dataset_name", "query", "index_by"))


def _read_page(response: Response) -> DatasetPage:
    page = read_object(response, "datasets")
    if not isinstance(page["datasets"], list):
        raise unreadable(response, "datasets is not a list")
    return cast("DatasetPage", page)


def _read_results(response: Response) -> DatasetResults:
    return cast("DatasetResults", read_object(response, "result"))
