"""The only way to the Kubernetes API server: plain requests, and watches that never miss a deletion."""
