"""The vocabulary every room shares: requests, answers, events, money, errors and ports. No I/O."""
