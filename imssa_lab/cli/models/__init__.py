"""Commands about models: data, train, sweep-bits, study."""
