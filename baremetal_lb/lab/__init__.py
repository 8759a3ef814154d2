"""A real Kubernetes in network namespaces of one machine: for people to play with, for tests to prove things on."""
