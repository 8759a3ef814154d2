"""Moving to baremetal-lb: another load balancer's resources in, ours out, with a note on all that differs."""
