"""What a user of the command is told when something cannot be done."""


class Failure(Exception):
    """Says what was wrong and what to do; printed without a stack."""
