"""``KeenClient.saved_queries``, under the name that keen 0.7 has for it."""

from __future__ import annotations

from keen_client.api.saved_queries import SavedQueries, SavedQuery, SavedQueryResult
from keen_client.compat.calls import raising_as_before

__all__ = ["SavedQueriesInterface"]


@raising_as_before
class SavedQueriesInterface(SavedQueries[SavedQuery, list[SavedQuery], SavedQueryResult, bool]):
    """Saved and cached queries; made by the client."""
