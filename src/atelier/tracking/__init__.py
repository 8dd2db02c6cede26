"""Logging, progress and provenance; no result depends on it."""
