"""Getting and preparing pictures."""
