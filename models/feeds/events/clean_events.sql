{{ clean_rows('events') }}
