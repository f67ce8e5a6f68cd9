"""Watches any torch network while it trains: what holds weights, what flows through it, what comes back."""
