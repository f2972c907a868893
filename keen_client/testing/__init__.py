"""Floor 8: for users' tests and ours. Nothing of the package imports it."""
