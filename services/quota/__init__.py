"""What to do about each SIM's quota, and what that is worth: prices, recommendations, decisions, realized savings."""
