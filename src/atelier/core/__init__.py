"""Foundation of all stages: settings, files, pictures, batches, devices."""
