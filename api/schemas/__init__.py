"""What the service takes and answers, as pydantic models."""
