-- Columns have the names and the meaning of the fields in store/model.py. Lists and maps are JSON.
-- References are checked at the end of a transaction, so rows may be written in any order within one.

CREATE TABLE apps (
    name TEXT PRIMARY KEY,
    gateway TEXT NOT NULL,
    externals TEXT NOT NULL,
    file TEXT NOT NULL,
    services TEXT NOT NULL,
    updated_at REAL NOT NULL
) STRICT;

CREATE TABLE releases (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    number INTEGER NOT NULL,
    spec TEXT NOT NULL,
    source TEXT NOT NULL,
    artifact TEXT NOT NULL,
    argv TEXT NOT NULL,
    actor TEXT NOT NULL,
    "commit" TEXT,
    message TEXT,
    created_at REAL NOT NULL,
    PRIMARY KEY (app, service, number)
) STRICT;

-- The release a service is on cannot be deleted, whatever decides what is garbage.
CREATE TABLE services (
    app TEXT NOT NULL REFERENCES apps (name) DEFERRABLE INITIALLY DEFERRED,
    name TEXT NOT NULL,
    "release" INTEGER NOT NULL,
    pattern TEXT NOT NULL,
    instances INTEGER NOT NULL,
    depends_on TEXT NOT NULL,
    uid INTEGER NOT NULL,
    internal_port INTEGER,
    stopped INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    restart_nonce INTEGER NOT NULL,
    secrets_digest TEXT NOT NULL,
    overrides TEXT NOT NULL,
    PRIMARY KEY (app, name),
    FOREIGN KEY (app, name, "release") REFERENCES releases (app, service, number) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE TABLE deployments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    operation TEXT NOT NULL,
    revision TEXT NOT NULL,
    "release" INTEGER NOT NULL,
    previous TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    before_done INTEGER NOT NULL,
    actor TEXT NOT NULL,
    started_at REAL NOT NULL,
    progressed_at REAL NOT NULL,
    finished_at REAL
) STRICT;

CREATE INDEX deployments_of_service ON deployments (app, service, id);
CREATE INDEX deployments_in_state ON deployments (state);

CREATE TABLE instances (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    "release" INTEGER NOT NULL,
    revision TEXT NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    port INTEGER,
    pid INTEGER,
    start_time INTEGER,
    boot_id TEXT,
    host TEXT,
    run INTEGER NOT NULL,
    restarts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    started_at REAL,
    ready_at REAL,
    exit TEXT
) STRICT;

CREATE INDEX instances_of_service ON instances (app, service);

-- AUTOINCREMENT: a number is never given twice, even after the newest events were trimmed; clients resume by it.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    app TEXT,
    service TEXT,
    instance TEXT,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    actor TEXT,
    data TEXT NOT NULL
) STRICT;

CREATE TABLE secrets (
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (app, name)
) STRICT;

CREATE TABLE uids (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    uid INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (app, service)
) STRICT;

CREATE TABLE ports (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    port INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (app, service)
) STRICT;

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
