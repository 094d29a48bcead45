-- A release has an artifact for each pattern that it was built for.
CREATE TABLE builds (
    app TEXT NOT NULL,
    service TEXT NOT NULL,
    number INTEGER NOT NULL,
    pattern TEXT NOT NULL,
    artifact TEXT NOT NULL,
    argv TEXT NOT NULL,
    made_at REAL NOT NULL,
    PRIMARY KEY (app, service, number, pattern),
    FOREIGN KEY (app, service, number) REFERENCES releases (app, service, number)
        ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
) STRICT;

INSERT INTO builds SELECT app, service, number, 'process', artifact, argv, created_at FROM releases;
ALTER TABLE releases DROP COLUMN artifact;
ALTER TABLE releases DROP COLUMN argv;

-- While a service moves, some of its instances run under the one pattern and some under the other.
ALTER TABLE instances ADD COLUMN pattern TEXT NOT NULL DEFAULT 'process';
ALTER TABLE deployments ADD COLUMN pattern TEXT NOT NULL DEFAULT 'process';
