"""Learning: heads on cached features (numpy), and whole networks (torch)."""
