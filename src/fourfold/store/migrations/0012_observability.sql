-- Counters of `GET /metrics` that go on over restarts. `labels` and `counts` are JSON.
CREATE TABLE metric_counts (
    metric TEXT NOT NULL,
    labels TEXT NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (metric, labels)
) STRICT, WITHOUT ROWID;
