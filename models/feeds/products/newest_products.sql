{{ newest_rows('products') }}
