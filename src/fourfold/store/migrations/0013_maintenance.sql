-- Services that the gateway answers for: with a page, status 503. An empty `service` is all of the app.
CREATE TABLE maintenance (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    page TEXT NOT NULL,
    content_type TEXT NOT NULL,
    retry_after REAL NOT NULL,
    allowed TEXT NOT NULL,
    actor TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (app, service)
) STRICT, WITHOUT ROWID;
