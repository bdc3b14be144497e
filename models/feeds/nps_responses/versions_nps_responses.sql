{{ version_rows('nps_responses') }}
