/**
 * Durations as Go writes them (`time.ParseDuration`), because users know istiod's: `100ms`,
 * `1m30s`, `1.5h`, `0`. In code a duration is a number of milliseconds.
 */
const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

const whole = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/u;
const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/gu;

/** Milliseconds; `undefined` if the text is no duration. */
export function parseDuration(text: string): number | undefined {
  if (/^[+-]?0$/u.test(text)) return 0;
  if (!whole.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(part)) {
    totalMs += Number(amount) * (unitMs[unit ?? ''] ?? Number.NaN);
  }
  return text.startsWith('-') ? -totalMs : totalMs;
}

/** The shortest form that parses to the same: `90000` → `1m30s`, `100` → `100ms`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 0) return `-${formatDuration(-durationMs)}`;
  if (durationMs < 1_000) return durationMs === 0 ? '0s' : `${trim(durationMs)}ms`;
  const hours = Math.floor(durationMs / 3_600_000);
  const minutes = Math.floor((durationMs % 3_600_000) / 60_000);
  const seconds = (durationMs % 60_000) / 1_000;
  const parts = [
    hours > 0 ? `${hours}h` : '',
    minutes > 0 ? `${minutes}m` : '',
    seconds > 0 ? `${trim(seconds)}s` : '',
  ];
  return parts.join('');
}

function trim(value: number): string {
  return String(Number(value.toFixed(6)));
}
