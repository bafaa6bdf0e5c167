"""Files that are written for users and read again: whole folders, JSON of strangers, versions."""
