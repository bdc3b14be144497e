{{ clean_rows('orders') }}
