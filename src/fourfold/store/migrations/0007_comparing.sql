-- A candidate is an app that a comparison runs beside the live one, and takes away again.
ALTER TABLE apps ADD COLUMN candidate_of TEXT;

-- What was measured of a service under several patterns: `cost.comparison.Comparison` as JSON.
CREATE TABLE comparisons (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    "release" INTEGER NOT NULL,
    made_at REAL NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX comparisons_by_service ON comparisons (app, service, made_at);

-- What a service took and answered in an hour under a pattern. `hour` is the epoch second of its beginning.
CREATE TABLE usage_hours (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    hour INTEGER NOT NULL,
    pattern TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    response_seconds REAL NOT NULL,
    cpu_seconds REAL NOT NULL,
    memory_byte_seconds REAL NOT NULL,
    instance_seconds REAL NOT NULL,
    PRIMARY KEY (app, service, hour, pattern)
) STRICT, WITHOUT ROWID;

-- Of each instance, up to where what it took and answered is in `usage_hours`.
CREATE TABLE usage_marks (
    instance TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    pattern TEXT NOT NULL,
    host TEXT,
    run INTEGER NOT NULL,
    at REAL NOT NULL,
    cpu_seconds REAL NOT NULL,
    memory_bytes INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    ended INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
