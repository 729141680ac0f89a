"""What can I type? Parsing, printing, exit codes."""
