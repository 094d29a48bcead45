-- An invoker gives its sandboxes addresses of a block of its own.
ALTER TABLE instances ADD COLUMN block TEXT;
