"""Reading ``results/``: tables, plots, sheets."""
