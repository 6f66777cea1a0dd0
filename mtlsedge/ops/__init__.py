"""How does one run it? The access log, timers and limits."""
