"""Floor 7: the command line. One module per command; the work is done on the floors below."""
