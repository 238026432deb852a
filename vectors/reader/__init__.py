"""The protocol as docs/PROTOCOL.md has it, as far as the test vectors reach."""
