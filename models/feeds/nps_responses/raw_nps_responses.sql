{{ raw_rows('nps_responses') }}
