"""The command line, ``atelier``."""
