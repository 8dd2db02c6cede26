"""What all stages stand on: settings, files, pictures, batches, losses."""
