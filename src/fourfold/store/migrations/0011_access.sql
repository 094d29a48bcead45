-- Who may use the API over the network. Secrets of tokens are not kept: `digest` is the SHA-256 of one, in hex.
CREATE TABLE tokens (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    app TEXT,
    digest TEXT NOT NULL UNIQUE,
    created_by TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL,
    used_at REAL
) STRICT, WITHOUT ROWID;
