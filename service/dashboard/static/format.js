// How values are written: one place for units, digits and times.

const numbers = (digits) => new Intl.NumberFormat("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
const one = numbers(1), none = numbers(0);
const clock = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const UNKNOWN = "–";
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
export const count = (value) => (value == null ? UNKNOWN : none.format(value));
export const kwh = (value) => (value == null ? UNKNOWN : `${Math.abs(value) >= 1000 ? none.format(value) : one.format(value)} kWh`);
export const percent = (value) => (value == null ? UNKNOWN : `${one.format(value * 100)} %`);
export const celsius = (value) => (value == null ? UNKNOWN : `${one.format(value)} °C`);
export const time = (value) => (value == null ? UNKNOWN : clock.format(new Date(value)));

export function ago(value) {
  if (value == null) return UNKNOWN;
  const minutes = Math.round((Date.now() - new Date(value)) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 120) return `${minutes} min ago`;
  return minutes < 2880 ? `${Math.round(minutes / 60)} h ago` : `${Math.round(minutes / 1440)} days ago`;
}

export const REASONS = {
  vehicleSilent: "vehicle silent while the charger drew",
  meterSilent: "meter silent while the vehicle charged",
  ratioAboveOne: "more delivered than drawn",
  standbyDraw: "charger draws while the vehicle takes nothing",
  chargedElsewhere: "charged elsewhere",
  tooManyReadings: "readings sent twice",
  cutSession: "period cuts a charging session",
  energyStuck: "vehicle charges but reports no energy",
  implausibleReading: "implausible reading",
  sharedMeter: "meter served another vehicle too",
};

export const VERDICTS = {
  sound: "sound", partial: "may be off", implausible: "not to be believed", idle: "no energy moved", unmetered: "no meter",
};
