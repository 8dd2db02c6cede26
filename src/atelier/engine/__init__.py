"""Training and batched stylisation for the DAG."""
