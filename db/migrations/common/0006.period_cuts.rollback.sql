DROP TYPE engine.period_cuts;
