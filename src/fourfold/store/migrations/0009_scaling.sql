-- `instances` as a map, as JSON; null: it is a number.
ALTER TABLE services ADD COLUMN scaling TEXT;
-- How many its load asked for last, since when and why.
ALTER TABLE services ADD COLUMN scaled INTEGER;
ALTER TABLE services ADD COLUMN scaled_at REAL;
ALTER TABLE services ADD COLUMN scaled_why TEXT NOT NULL DEFAULT '';
