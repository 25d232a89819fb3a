DROP TABLE device_mapping;
DROP SCHEMA engine CASCADE;
