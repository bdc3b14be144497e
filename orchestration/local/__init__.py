"""Local stand-ins of what production has as services; nothing in production imports them."""
