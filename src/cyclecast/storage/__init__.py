"""Output folders and files, JSON from untrusted files, versions."""
