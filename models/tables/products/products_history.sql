{{ version_rows('products') }}
