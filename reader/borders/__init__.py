"""Where an answer may begin and end: units of a text, cells of tables, indivisible strings, enumerations."""
