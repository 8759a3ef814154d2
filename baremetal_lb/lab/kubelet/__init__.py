"""A small kubelet: real Pods of a real API server, run as processes in network namespaces of the lab."""
