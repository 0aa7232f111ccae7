"""Who may ask for what: API keys, the file they are kept in, and the guard who knows them."""
