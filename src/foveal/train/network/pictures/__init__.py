"""What a network is fed: decoded once, in an order and with changes that only numbers decide."""
