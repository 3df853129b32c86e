"""Object stores: which place a URL means, with whose credentials, and calls that end in time."""
