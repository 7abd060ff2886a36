"""What all pulls share, whatever they pull from: the notes of pulls that failed."""
