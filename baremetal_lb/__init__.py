"""Services of type LoadBalancer for Kubernetes clusters on your own machines."""
