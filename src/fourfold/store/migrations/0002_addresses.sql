-- Instances with a network of their own have an address of their own.
ALTER TABLE instances ADD COLUMN address TEXT;
