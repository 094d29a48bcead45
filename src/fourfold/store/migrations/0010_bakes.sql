-- Builds that somebody asked for by themselves: what is to be built, and what became of it (`store.bakes.Bake`).
-- `spec` is the app as JSON; `digest` names the finished file in the folder `bakery`.
CREATE TABLE bakes (
    id TEXT PRIMARY KEY,
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    pattern TEXT NOT NULL,
    format TEXT NOT NULL,
    source TEXT NOT NULL,
    spec TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at REAL NOT NULL,
    state TEXT NOT NULL,
    started_at REAL,
    ended_at REAL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    runtime TEXT,
    argv TEXT NOT NULL,
    error TEXT NOT NULL,
    hint TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX bakes_by_state ON bakes (state, created_at);
CREATE INDEX bakes_by_actor ON bakes (actor, created_at);
CREATE INDEX bakes_by_digest ON bakes (digest);
