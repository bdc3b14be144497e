{{ rejected_rows('orders') }}
