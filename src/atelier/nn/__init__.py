"""Frozen feature extractors and the blocks that two or more methods share."""
