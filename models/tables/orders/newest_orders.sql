{{ newest_rows('orders') }}
