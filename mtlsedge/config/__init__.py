"""What did the operator write? TOML and command line to one frozen `Configuration`."""
