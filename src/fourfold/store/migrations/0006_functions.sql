-- What Lambda's API knows of a function and no release holds. Of functions of service files: what was set on them there.
CREATE TABLE functions (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    managed INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    modified_at REAL NOT NULL,
    settings TEXT NOT NULL,
    wanted TEXT,
    problem TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (app, service)
) STRICT;

CREATE TABLE function_versions (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    number INTEGER NOT NULL,
    "release" INTEGER NOT NULL,
    description TEXT NOT NULL,
    modified_at REAL NOT NULL,
    runs INTEGER NOT NULL,
    problem TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (app, service, number)
) STRICT;

CREATE TABLE function_aliases (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    description TEXT NOT NULL,
    weights TEXT NOT NULL,
    changes INTEGER NOT NULL,
    PRIMARY KEY (app, service, name)
) STRICT;

CREATE TABLE event_source_mappings (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    settings TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    modified_at REAL NOT NULL
) STRICT;
