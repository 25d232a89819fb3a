DROP TABLE public.device;
