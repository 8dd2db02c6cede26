"""What watches and records; no result depends on it."""
