"""What a user can do wrong, and what goes wrong around us: one clear error each, and nothing lost."""
