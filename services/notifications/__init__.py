"""Messages about alerts, and the outbox that sends them."""
