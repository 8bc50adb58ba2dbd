"""What to do about each SIM's quota, at least expected cost: rules, prices, actions, a budget, and the fleet as a
whole."""
