"""Floor 5: what was found, for people. Reads values from the floors below; changes nothing, decides nothing."""
