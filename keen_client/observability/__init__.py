"""Floor 1: facts that the package raises, and where they go."""
