"""What queries answer, by room. The typed client reads them too, so no table stands here."""
