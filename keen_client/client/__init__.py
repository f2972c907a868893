"""Floor 6: the façades that people import."""
