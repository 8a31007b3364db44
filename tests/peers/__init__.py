"""The other ends of the providers: real servers on loopback that check what they get, and answer as they are told."""
