"""One call of Keen's API, apart from how it is carried out."""

from __future__ import annotations

from typing import Protocol, TypeVar

from keen_client.api.project import Project
from keen_client.transport.message import Request, Response

ResultT_co = TypeVar("ResultT_co", covariant=True)


class Operation(Protocol[ResultT_co]):
    """A frozen value that knows how to ask and how to read the answer. No I/O, no clock, no chance."""

    def request(self, project: Project) -> Request:
        """The request for *project*.

        Raises:
            InvalidEnvironmentError: The project lacks the key that the call needs. Nothing was sent.
        """

    def parse(self, response: Response) -> ResultT_co:
        """The result that *response* carries.

        Raises:
            KeenApiError: Keen refused.
            UnreadableResponseError: The answer is not Keen's.
        """
