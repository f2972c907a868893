-- state.db: everything of the log that changes. Always fully synchronous.
-- Times are UTC milliseconds since 1970. `hour` is timestamp // 3600000.

-- One row for each segment ever made on this log; never deleted.
CREATE TABLE origins (
  origin      TEXT PRIMARY KEY,
  day         TEXT NOT NULL,
  made_ms     INTEGER NOT NULL,
  cursor      INTEGER NOT NULL DEFAULT 0,   -- last seq that is folded and synced
  status      TEXT NOT NULL DEFAULT 'open'  -- open, sealed, drained, abandoned, damaged, reclaimed
    CHECK (status IN ('open', 'sealed', 'drained', 'abandoned', 'damaged', 'reclaimed')),
  rebuilt     INTEGER NOT NULL DEFAULT 0,   -- 1: its delivery states were lost and rebuilt as unknown
  changed_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Delivery states of the folded entries: for each origin disjoint ranges that cover 1..cursor.
CREATE TABLE ranges (
  origin     TEXT NOT NULL,
  seq_lo     INTEGER NOT NULL,
  seq_hi     INTEGER NOT NULL CHECK (seq_hi >= seq_lo),
  state      TEXT NOT NULL,
  a          INTEGER NOT NULL DEFAULT -1,   -- attempt number of the last send; -1: never sent
  tier       INTEGER NOT NULL DEFAULT 0,    -- token tier of the last, or the intended, send
  unsure     INTEGER NOT NULL DEFAULT 0,    -- 1: some attempt's outcome is not known
  failures   INTEGER NOT NULL DEFAULT 0,    -- attempts in a row that did not succeed
  first_ms   INTEGER NOT NULL DEFAULT 0,    -- start of the first attempt
  last_ms    INTEGER NOT NULL DEFAULT 0,    -- end of the last attempt; its start while in flight
  due_ms     INTEGER NOT NULL DEFAULT 0,    -- not to be sent before
  batch_max  INTEGER NOT NULL DEFAULT 0,    -- send in batches of at most so many; 0: no bound
  refused_batch INTEGER NOT NULL DEFAULT 0, -- number of the last batch claimed when its own was first refused whole
  alone      INTEGER NOT NULL DEFAULT 0,    -- how often it was refused with nothing else in the batch
  batch      INTEGER NOT NULL DEFAULT 0,    -- the batch in flight
  run        INTEGER NOT NULL DEFAULT 0,    -- the replay run of the last, or the intended, send
  PRIMARY KEY (origin, seq_lo)
) STRICT, WITHOUT ROWID;

CREATE INDEX ranges_open ON ranges (state, due_ms) WHERE state <> 'acknowledged';

-- Control totals of the folded entries.
CREATE TABLE totals (
  origin        TEXT NOT NULL,
  collection    TEXT NOT NULL,
  hour          INTEGER NOT NULL,
  n             INTEGER NOT NULL,
  sum_h         INTEGER NOT NULL,
  sum_g         INTEGER NOT NULL,
  seq_lo        INTEGER NOT NULL,
  seq_hi        INTEGER NOT NULL,
  attempted_ms  INTEGER NOT NULL DEFAULT 0,  -- end of the last send attempt of any of its entries
  PRIMARY KEY (origin, collection, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX totals_by_window ON totals (collection, hour);

-- Sums of numeric properties, for the audit of amounts.
CREATE TABLE audited (
  origin      TEXT NOT NULL,
  collection  TEXT NOT NULL,
  hour        INTEGER NOT NULL,
  property    TEXT NOT NULL,
  n           INTEGER NOT NULL,   -- events in which it is a number
  whole       INTEGER NOT NULL,   -- events in which it is an integer
  sum         TEXT NOT NULL,      -- of the integers, exact, in decimal
  sum_real    REAL NOT NULL,      -- of the others
  magnitude   REAL NOT NULL,      -- sum of absolute values: bounds the rounding error
  PRIMARY KEY (origin, collection, hour, property)
) STRICT, WITHOUT ROWID;

-- Entries that are not expected at the server, with what to subtract for each.
CREATE TABLE exceptions (
  origin      TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  collection  TEXT NOT NULL,
  ts          INTEGER NOT NULL,
  kind        TEXT NOT NULL CHECK (kind IN ('rejected', 'dropped', 'superseded')),
  h           INTEGER NOT NULL,
  g           INTEGER NOT NULL,
  amounts     TEXT NOT NULL,      -- JSON: property -> number
  at_ms       INTEGER NOT NULL,
  PRIMARY KEY (origin, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX exceptions_by_window ON exceptions (collection, ts);

-- Refused for good, kept with the server's words. 'unsure': refused after an attempt whose outcome is
-- not known, so a query has to show first that it is not there.
CREATE TABLE dead_letters (
  origin      TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  collection  TEXT NOT NULL,
  ts          INTEGER NOT NULL,
  at_ms       INTEGER NOT NULL,
  name        TEXT NOT NULL,
  message     TEXT NOT NULL,
  status      TEXT NOT NULL DEFAULT 'dead' CHECK (status IN ('dead', 'retried', 'dropped', 'unsure')),
  PRIMARY KEY (origin, seq)
) STRICT, WITHOUT ROWID;

-- Entries of reclaimed segments that had to stay.
CREATE TABLE kept (
  origin      TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  collection  TEXT NOT NULL,
  ts          INTEGER NOT NULL,
  recorded    INTEGER NOT NULL,
  body        TEXT NOT NULL,
  keen        TEXT NOT NULL,
  reason      TEXT NOT NULL,
  PRIMARY KEY (origin, seq)
) STRICT, WITHOUT ROWID;

-- Reclaim is journalled: intent, unlink, done.
CREATE TABLE reclaims (
  origin       TEXT PRIMARY KEY,
  intended_ms  INTEGER NOT NULL,
  done_ms      INTEGER,
  entries      INTEGER NOT NULL,
  unverified   INTEGER NOT NULL,
  hour_lo      INTEGER,
  hour_hi      INTEGER
) STRICT, WITHOUT ROWID;

-- Files that were set aside, with what could be saved of them.
CREATE TABLE damages (
  id        INTEGER PRIMARY KEY,
  at_ms     INTEGER NOT NULL,
  origin    TEXT NOT NULL,
  file      TEXT NOT NULL,
  reason    TEXT NOT NULL,
  salvaged  INTEGER NOT NULL,
  lost      INTEGER            -- null: not known
) STRICT;

-- What a verification saw of a window, once per window and read.
CREATE TABLE observations (
  id           INTEGER PRIMARY KEY,
  collection   TEXT NOT NULL,
  start_ms     INTEGER NOT NULL,
  end_ms       INTEGER NOT NULL,
  at_ms        INTEGER NOT NULL,   -- end of the read
  verdict      TEXT NOT NULL,      -- of this read alone
  reason       TEXT NOT NULL,
  expected     INTEGER,
  counted      INTEGER,
  fingerprint  TEXT NOT NULL       -- of the expected totals: another one means that the window changed
) STRICT;

CREATE INDEX observations_by_window ON observations (collection, start_ms, end_ms, at_ms);

-- What queries showed of single entries. Evidence of presence is sticky.
CREATE TABLE evidence (
  origin    TEXT NOT NULL,
  seq       INTEGER NOT NULL,
  kind      TEXT NOT NULL,         -- absent, present, duplicate, corrupt, shifted, collision, disputed
  first_ms  INTEGER NOT NULL,      -- first read that showed it
  last_ms   INTEGER NOT NULL,      -- last read that showed it
  reads     INTEGER NOT NULL,
  copies    INTEGER NOT NULL,
  PRIMARY KEY (origin, seq, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  run         INTEGER PRIMARY KEY,
  made_ms     INTEGER NOT NULL,
  done_ms     INTEGER,
  preset      TEXT NOT NULL,
  scope       TEXT NOT NULL,       -- JSON: collections, start, end
  stopped     TEXT                 -- why it stopped early
) STRICT;

CREATE TABLE run_entries (
  run         INTEGER NOT NULL,
  origin      TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  collection  TEXT NOT NULL,
  ts          INTEGER NOT NULL,
  tier        INTEGER NOT NULL,
  PRIMARY KEY (run, origin, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX run_entries_by_entry ON run_entries (origin, seq);

-- What the server was seen to do: token handling and the like.
CREATE TABLE probes (
  name      TEXT PRIMARY KEY,
  at_ms     INTEGER NOT NULL,
  answer    TEXT NOT NULL,         -- JSON
  pending   TEXT                   -- JSON of a probe that waits to be read
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
  name   TEXT PRIMARY KEY,
  value  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE facts (
  name   TEXT PRIMARY KEY,
  value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
