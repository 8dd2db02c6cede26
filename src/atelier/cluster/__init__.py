"""The same DAG on several machines: Ray assigns methods to nodes, DVC's remote carries results."""
