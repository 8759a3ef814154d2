"""Core Kubernetes objects, parsed once at the edge into small frozen views."""
