"""What is found from a user's data: the values of leaves. Only `apply` comes here; `check` looks at files."""
