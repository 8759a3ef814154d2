"""Who gets which address: pure decisions over pools, requests and a ledger."""
