{{ typed_rows('nps_responses') }}
