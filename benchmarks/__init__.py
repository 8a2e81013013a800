"""How fast, how dear and how reliable: measured beside the alternatives, in one run with them."""
