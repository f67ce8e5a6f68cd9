"""What is wrong with a network, while it trains: evidence is gathered in watched steps, rules make findings of it."""
