-- Events that are delivered later, and those that were given up (state `failed`).
CREATE TABLE queue (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    payload BLOB NOT NULL,
    source TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    lane TEXT NOT NULL,
    target TEXT NOT NULL,
    client_context TEXT NOT NULL,
    created_at REAL NOT NULL,
    due_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    answer BLOB NOT NULL,
    error TEXT NOT NULL,
    failed_at REAL
) STRICT;

CREATE INDEX queue_of_service ON queue (app, service, state, seq);

-- What a trigger remembers: its checkpoints, when it is due next.
CREATE TABLE trigger_state (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (app, service, "trigger", key)
) STRICT;

-- Runs of jobs, under way and ended.
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    "release" INTEGER NOT NULL,
    pattern TEXT NOT NULL,
    source TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    lane TEXT NOT NULL,
    event TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    ending TEXT NOT NULL,
    retry_at REAL,
    ended_at REAL,
    outcome TEXT NOT NULL,
    code INTEGER,
    reason TEXT NOT NULL
) STRICT;

CREATE INDEX runs_of_service ON runs (app, service, created_at);
CREATE INDEX runs_under_way ON runs (ended_at) WHERE ended_at IS NULL;
