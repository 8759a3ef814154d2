"""The process on each node: it watches the cluster, decides which addresses are its own, and has them announced."""
