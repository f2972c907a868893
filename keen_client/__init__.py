"""keen_client."""
