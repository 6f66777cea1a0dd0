"""Who is this? Client CAs, revocation lists and verifiers settle one `Identity`."""
