{{ raw_rows('orders') }}
