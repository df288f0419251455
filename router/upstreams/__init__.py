"""The servers that answer, each behind the port `contracts.ports.Upstream`."""
