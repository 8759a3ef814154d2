"""Who announces an address: the order of the nodes, and which of their speakers are alive."""
