"""Which node announces an address, and why each other one does not: pure, and the same answer on every node."""
