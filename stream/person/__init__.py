"""What is known and held about one person, whatever the ids."""
