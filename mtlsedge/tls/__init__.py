"""How do bytes become plaintext? The port, the transport, the contexts and the SNI switch."""
