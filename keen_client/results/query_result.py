"""The answer to a query, with what was asked: as value, as rows, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from keen_client.errors import UnreadableResponseError
from keen_client.queries.analysis import Analysis
from keen_client.queries.definition import Query, query_of
from keen_client.queries.funnel import Funnel
from keen_client.results.arrow import pandas_of, polars_of, table_of
from keen_client.results.columns import Columns
from keen_client.results.rows import RESULT, Row, columns_of, rows_of
from keen_client.results.text import html_table

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


#: A ``repr`` names so many columns, and shows so many numbers.
_COLUMNS_SHOWN: Final = 8
_NUMBERS_SHOWN: Final = 5
#: Analyses that answer with what is in events, as groups do.
_OF_EVENTS: Final = frozenset({"extraction", "select_unique"})


@attrs.frozen(repr=False)
class QueryResult:
    """What was asked, and the body of Keen's answer to it.

    Its ``repr`` shows numbers, and else which rows there are: it may end in a
    log, and rows may hold what is in events. What is handed out is not copied:
    do not change it.
    """

    query: Query
    body: Mapping[str, Any]

    @classmethod
    def of_stored(cls, definition: Mapping[str, Any], body: Mapping[str, Any]) -> Self:
        """The answer *body* of a saved query or a cached dataset, whose ``query`` is *definition*.

        ::

            saved = keen.saved_queries.results("daily-revenue")
            QueryResult.of_stored(saved["query"], saved).to_pandas()

        Raises:
            InvalidQueryError: The definition is no query that could be asked.
        """
        query = query_of(definition)
        result = body.get("result")
        # The result of a saved funnel is its whole body, or that stands beside it.
        return cls(query, result if isinstance(query, Funnel) and isinstance(result, Mapping) else body)

    @property
    def value(self) -> Any:
        """Keen's ``result`` as it came: a number, a list, an object, or null."""
        return self.body["result"]

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """``execution_metadata``: what the query cost. None unless the query asked for it."""
        return self.body.get("execution_metadata")

    @cached_property
    def rows(self) -> list[Row]:
        """One dict a row, with the same columns in every shape; see :func:`~keen_client.results.rows.rows_of`.

        Raises:
            UnreadableResponseError: The answer has another shape than the query.
        """
        return rows_of(self.query, self.body)

    @cached_property
    def columns(self) -> Columns:
        """The columns of all rows, in order, with their types."""
        return columns_of(self.query, self.rows)

    def to_arrow(self) -> pa.Table:
        """An Arrow table of the rows.

        Timestamps are ``timestamp[ms, UTC]``, integers stay integers, and a
        column that no other type holds exactly is JSON text.

        Raises:
            MissingExtraError: pyarrow is not installed (extra ``tables``).
            UnreadableResponseError: See :attr:`rows`.
        """
        return table_of(self.rows, self.columns.types)

    def to_pandas(self) -> pd.DataFrame:
        """A pandas data frame of the rows; integers and booleans are nullable.

        Raises:
            MissingExtraError: pyarrow or pandas is not installed.
        """
        return pandas_of(self.to_arrow())

    def to_polars(self) -> pl.DataFrame:
        """A polars data frame of the rows.

        Raises:
            MissingExtraError: pyarrow or polars is not installed.
        """
        return polars_of(self.to_arrow())

    def __repr__(self) -> str:
        asked = self.query
        of = "" if isinstance(asked, Funnel) else f" of {asked.event_collection}"
        return f"<QueryResult {asked.analysis_type}{of}: {self._in_short()}>"

    def _in_short(self) -> str:
        value = self.body.get(RESULT)
        if value is None or isinstance(value, int | float):
            return repr(value)
        try:
            rows, names = self.rows, list(self.columns)
        except UnreadableResponseError as error:
            return error.message
        count = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
        told = f"{count} of {_listed(names, _COLUMNS_SHOWN)}" if names else count
        if isinstance(self.query, Analysis) and (
            self.query.group_by or self.query.analysis_type in _OF_EVENTS
        ):
            return told
        numbers = [repr(row[RESULT]) for row in rows if isinstance(row.get(RESULT), int | float)]
        return f"{told}: {_listed(numbers, _NUMBERS_SHOWN)}" if numbers else told

    def _repr_html_(self) -> str:
        """The first rows, as a notebook shows them."""
        return html_table(list(self.columns), self.rows)


def _listed(words: Sequence[str], most: int) -> str:
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
