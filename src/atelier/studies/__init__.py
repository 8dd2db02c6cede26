"""The reports' studies: each makes a figure and a table from trainings of its own."""
