"""Where may an answer begin and end? Units of a text, cells of its tables, what is written as one, enumerations."""
