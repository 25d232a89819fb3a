DROP TABLE public.vehicle_telemetry_history;
DROP TABLE public.meter_telemetry_history;
