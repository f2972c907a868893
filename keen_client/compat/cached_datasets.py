"""``KeenClient.cached_datasets``, under the name that keen 0.7 has for it."""

from __future__ import annotations

from keen_client.api.cached_datasets import SyncCachedDatasets
from keen_client.compat.calls import raising_as_before

__all__ = ["CachedDatasetsInterface"]


@raising_as_before
class CachedDatasetsInterface(SyncCachedDatasets):
    """Cached datasets; made by the client."""
