{{ clean_rows('nps_responses') }}
