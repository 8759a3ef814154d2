"""The controller process: watches Services and our resources, assigns addresses, says why where it can't."""
