"""The areas of the API: one module each, with its routes and their handlers."""
