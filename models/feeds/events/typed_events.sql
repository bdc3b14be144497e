{{ typed_rows('events') }}
