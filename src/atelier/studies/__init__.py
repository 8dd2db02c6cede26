"""The reports' studies: each trains what it needs in a project of its own, and makes a figure and a table."""
