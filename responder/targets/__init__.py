"""Sessions on the systems under care: reading them, and changing them."""
