"""The one way out to URLs users gave us: address, size and time limits."""
