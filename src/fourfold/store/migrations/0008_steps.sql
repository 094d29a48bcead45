-- How far a deployment with steps (canary, blue-green) is.
ALTER TABLE deployments ADD COLUMN staged INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN step_at REAL;
ALTER TABLE deployments ADD COLUMN promoted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deployments ADD COLUMN aborted TEXT;
ALTER TABLE deployments ADD COLUMN marks TEXT NOT NULL DEFAULT '{}';
