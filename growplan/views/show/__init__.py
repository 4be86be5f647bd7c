"""Pictures of a checked plan, one file per form; each is a function from values to text."""
