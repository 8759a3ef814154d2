"""The custom resources of the cluster, compiled into one immutable snapshot."""
