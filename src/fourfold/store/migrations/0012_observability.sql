-- Counters of `GET /metrics` that go on over restarts. `labels` and `counts` are JSON.
CREATE TABLE metric_counts (
    metric TEXT NOT NULL,
    labels TEXT NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (metric, labels)
) STRICT, WITHOUT ROWID;

-- Webhooks of apps. `url` is encrypted; `cursor` is the number of the last event that is done with.
CREATE TABLE hooks (
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    url BLOB NOT NULL,
    host TEXT NOT NULL,
    events TEXT NOT NULL,
    format TEXT NOT NULL,
    secret TEXT,
    cursor INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    given_up INTEGER NOT NULL,
    failing_since REAL,
    error TEXT,
    PRIMARY KEY (app, name)
) STRICT, WITHOUT ROWID;
