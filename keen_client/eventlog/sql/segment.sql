-- One segment: the entries that one origin named, append-only.
-- Plain tables on purpose: the sqlite3 shell and Datasette can open them.

CREATE TABLE header (
  format            INTEGER NOT NULL,
  origin            TEXT    NOT NULL,
  day               TEXT    NOT NULL,  -- UTC day of recording, 2026-11-23
  made_ms           INTEGER NOT NULL,  -- UTC milliseconds since 1970
  boot_id           TEXT    NOT NULL,  -- boot, device and inode name the file: a copy or a
  device            INTEGER NOT NULL,  -- restored backup differs, and never hands out
  inode             INTEGER NOT NULL,  -- numbers that the original may have used
  sealed_ms         INTEGER,
  successor_origin  TEXT,
  successor_day     TEXT
) STRICT;

CREATE TABLE entries (
  seq         INTEGER PRIMARY KEY CHECK (seq <= 2097152),
  collection  TEXT    NOT NULL,
  ts          INTEGER NOT NULL,  -- keen.timestamp, UTC milliseconds since 1970
  recorded    INTEGER NOT NULL,  -- when it was recorded, UTC milliseconds since 1970
  body        TEXT    NOT NULL,  -- JSON of the user's event without "keen"
  keen        TEXT    NOT NULL   -- JSON of the user's own "keen" members, or ''
) STRICT;

CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries never change'); END;

CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries never go'); END;
