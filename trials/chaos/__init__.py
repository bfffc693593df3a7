"""A crowd on a small fleet whose parts are killed, frozen, filled and cut off; then every line is looked at."""
