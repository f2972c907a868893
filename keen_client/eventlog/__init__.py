"""Floor 2: the local rolling log, a directory of SQLite files.

See ``docs/explanation/log.md`` for the files, who writes which, and the crash
windows that the shape is made for.
"""
