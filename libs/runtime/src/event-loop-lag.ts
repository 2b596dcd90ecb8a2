/**
 * How late timers are, under the names of prom-client's own gauges. Those count the period of the
 * timer that measures as lag, and with it wake an idle process a hundred times a second.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, type Registry } from 'prom-client';

const periodMs = 100;
/** Of prom-client's timer, which cannot be left out; nothing reads it. */
export const neverMs = 2 ** 31 - 1;

type Delays = ReturnType<typeof monitorEventLoopDelay>;

/** By what stands between `nodejs_eventloop_lag_` and `_seconds`: nanoseconds, with the period. */
const figures: Readonly<Record<string, (delays: Delays) => number>> = {
  min: ({ min }) => min,
  max: ({ max }) => max,
  mean: ({ mean }) => mean,
  p50: (delays) => delays.percentile(50),
  p90: (delays) => delays.percentile(90),
  p99: (delays) => delays.percentile(99),
};

/** In place of those in `registry`. They tell of the time since they were read last. */
export function exposeEventLoopLag(registry: Registry): void {
  const delays = monitorEventLoopDelay({ resolution: periodMs });
  delays.enable();
  const gaugeOf = (figure: string, collect?: () => void): Gauge => {
    const name = `nodejs_eventloop_lag_${figure}_seconds`;
    registry.removeSingleMetric(name);
    const help = `How late timers were since the last scrape: ${figure}.`;
    return new Gauge({ name, help, registers: [registry], ...(collect && { collect }) });
  };
  // Read before the others are, being the first.
  const stddev = gaugeOf('stddev', () => {
    // Read again at once, they stay as they were.
    if (delays.count === 0) return;
    stddev.set(delays.stddev / 1e9);
    for (const { gauge, of } of gauges) {
      gauge.set(Math.max(0, of(delays) / 1e9 - periodMs / 1e3));
    }
    delays.reset();
  });
  const gauges = Object.entries(figures).map(([figure, of]) => ({ gauge: gaugeOf(figure), of }));
}
