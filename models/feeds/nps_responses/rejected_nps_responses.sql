{{ rejected_rows('nps_responses') }}
