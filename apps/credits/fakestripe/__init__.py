"""A small Stripe over HTTP for the sandbox and for tests; never started where SANDBOX is off."""
