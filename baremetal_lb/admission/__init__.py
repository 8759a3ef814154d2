"""What the webhook answers when somebody is about to write something: yes, no, or yes with a warning."""
