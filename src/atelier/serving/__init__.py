"""A trained method outside the DAG: files, folders, ONNX, MLflow's registry."""
