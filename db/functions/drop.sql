-- Removes what the files beside this one create, so that migrations can be rolled back under it.
DROP VIEW IF EXISTS public.meter_current_status, public.vehicle_current_status CASCADE;
DROP FUNCTION IF EXISTS
    public.vehicle_performance(text, integer, timestamptz, text),
    public.vehicle_trend(text, integer, timestamptz),
    public.fleet_efficiency(integer, timestamptz),
    public.fleet_overview(),
    public.vehicle_energy(timestamptz, timestamptz),
    public.fleet_trend(timestamptz, timestamptz),
    public.whole_hours(timestamptz, timestamptz);
-- It takes a mapping as its argument, and so would hold on to the table.
DROP FUNCTION IF EXISTS engine.open_ended;
