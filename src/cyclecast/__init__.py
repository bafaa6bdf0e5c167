"""An auto-scheduler for chips that do not exist yet."""
