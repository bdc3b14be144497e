{{ raw_rows('events', topics=true) }}
