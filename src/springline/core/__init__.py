"""Values that everything shares. No input or output happens here."""
