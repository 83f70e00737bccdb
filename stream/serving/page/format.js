// How numbers, times and names are written.

const whole = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone: "UTC" });
const shortClock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC" });

export const count = (value) => whole.format(value);
export const counted = (value, one) => `${count(value)} ${one}${value === 1 ? "" : "s"}`;
export const time = (ms) => `${clock.format(ms)} UTC`;
export const hour = (ms) => shortClock.format(ms);
export const dayAndHour = (ms) => day.format(ms);

export function share(value) {
  const percent = 100 * value;
  return `${percent.toFixed(percent < 10 ? 1 : 0)}%`;
}

export function points(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`;
}

/** A duration in its largest unit: 45 s, 12 min, 3 h, 9 d. */
export function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export function milliseconds(ms) {
  return ms < 10 ? [ms.toFixed(1), "ms"] : ms < 1000 ? [ms.toFixed(0), "ms"] : [(ms / 1000).toFixed(1), "s"];
}

/** Names as the code has them, for people: offer_incentive → offer incentive. */
export const words = (name) => name.replaceAll("_", " ");
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const DECAYED = /^(.*)_(\d+)([mhd])$/;
const SECONDS = /^(since_|gap_|session_gap|session_age|tenure|purchase_gap)/;
const UNITS = { m: "minutes", h: "hours", d: "days" };

/** The name of a model's input, and its value with a unit. */
export function feature(name, value) {
  const decayed = DECAYED.exec(name);
  const label = decayed
    ? `${words(decayed[1])}, decayed over ${decayed[2]} ${decayed[2] === "1" ? UNITS[decayed[3]].slice(0, -1) : UNITS[decayed[3]]}`
    : words(name);
  if (value === null) return [capital(label), "never"];
  if (SECONDS.test(name)) return [capital(label), span(1000 * value)];
  return [capital(label), Number.isInteger(value) ? count(value) : value.toFixed(2)];
}
