"""Everything at Keen but events and queries, with its types: once for sync, once for async.

The methods themselves stand once, in the modules of their nouns; here their
type parameters are filled in, with results for the one and awaitables of the
same results for the other.
"""

from __future__ import annotations

from collections.abc import Awaitable

from keen_client.api.access_key import AccessKey
from keen_client.api.access_keys import AccessKeyMethods
from keen_client.api.cached_datasets import AioCachedDatasets, SyncCachedDatasets
from keen_client.api.collection import CollectionMethods, CollectionSchema, PropertySchema
from keen_client.api.discovery import ApiVersion, DiscoveryMethods, ProjectInfo
from keen_client.api.saved_queries import SavedQueries, SavedQuery, SavedQueryResult
from keen_client.api.updating import UpdateMethods


class Administration(
    CollectionMethods[CollectionSchema, list[CollectionSchema], PropertySchema, bool],
    UpdateMethods[int | None],
    AccessKeyMethods[AccessKey, list[AccessKey], bool],
    DiscoveryMethods[ProjectInfo, list[ProjectInfo], list[ApiVersion], dict[str, str]],
):
    """Collections, access keys, saved queries, cached datasets, projects. Each call talks to the server at once.

    Raises, besides what a method says itself:
        InvalidEnvironmentError: The key of the class that the call needs was not given. Nothing was sent.
        KeenApiError: Keen refused; of a change, the message says that nothing was done.
        OutcomeUnknownError, ServerError, UnreadableResponseError: Of a change: it may or may not have
            been made. It is never repeated by itself; the hint says how to look.
    """

    @property
    def saved_queries(self) -> SavedQueries[SavedQuery, list[SavedQuery], SavedQueryResult, bool]:
        """Saved and cached queries."""
        return SavedQueries(self)

    @property
    def cached_datasets(self) -> SyncCachedDatasets:
        """Cached datasets."""
        return SyncCachedDatasets(self)


class AioAdministration(
    CollectionMethods[
        Awaitable[CollectionSchema],
        Awaitable[list[CollectionSchema]],
        Awaitable[PropertySchema],
        Awaitable[bool],
    ],
    UpdateMethods[Awaitable[int | None]],
    AccessKeyMethods[Awaitable[AccessKey], Awaitable[list[AccessKey]], Awaitable[bool]],
    DiscoveryMethods[
        Awaitable[ProjectInfo],
        Awaitable[list[ProjectInfo]],
        Awaitable[list[ApiVersion]],
        Awaitable[dict[str, str]],
    ],
):
    """The async twin of :class:`Administration`: the same names, awaited."""

    @property
    def saved_queries(
        self,
    ) -> SavedQueries[
        Awaitable[SavedQuery], Awaitable[list[SavedQuery]], Awaitable[SavedQueryResult], Awaitable[bool]
    ]:
        """Saved and cached queries."""
        return SavedQueries(self)

    @property
    def cached_datasets(self) -> AioCachedDatasets:
        """Cached datasets."""
        return AioCachedDatasets(self)
